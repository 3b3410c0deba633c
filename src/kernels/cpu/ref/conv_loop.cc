#include "kernels/cpu/ref/conv_loop.h"

namespace octavo::cpu {

ConvShape::ConvShape(const Call& call, size_t x, size_t w)
    : batch(shape_of(call, x)[0]),
      channels(shape_of(call, x)[1]),
      height(shape_of(call, x)[2]),
      width(shape_of(call, x)[3]),
      filters(shape_of(call, w)[0]),
      kernel_h(shape_of(call, w)[2]),
      kernel_w(shape_of(call, w)[3]),
      stride(call.attrs.get_int("stride")),
      top(call.attrs.get_ints("pads")[0]),
      left(call.attrs.get_ints("pads")[1]),
      out_height(call.outputs[0].shape[2]),
      out_width(call.outputs[0].shape[3]) {}

}  // namespace octavo::cpu
