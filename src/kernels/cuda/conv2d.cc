// The rows of conv2d and quantized_conv2d that are made of library products.
#include "kernels/cuda/conv_product.h"
#include "kernels/cuda/table.h"

namespace octavo::cuda {

const Kernel kConv2dBf16Cublaslt =
    conv_kernel<kConvInputs, Form::bf16>("conv2d_bf16_cublaslt", Op::conv2d);
const Kernel kConv2dF16Cublaslt =
    conv_kernel<kConvInputs, Form::f16>("conv2d_f16_cublaslt", Op::conv2d);
const Kernel kConv2dF32Cublaslt =
    conv_kernel<kConvInputs, Form::f32>("conv2d_f32_cublaslt", Op::conv2d);
const Kernel kConv2dSimt = conv_kernel<kConvInputs, Form::simt>("conv2d_simt", Op::conv2d);

const Kernel kQuantizedConv2dI8Cublaslt = conv_kernel<kQuantizedConvInputs, Form::i8>(
    "quantized_conv2d_i8_cublaslt", Op::quantized_conv2d);
const Kernel kQuantizedConv2dE4m3Cublaslt = conv_kernel<kQuantizedConvInputs, Form::e4m3>(
    "quantized_conv2d_e4m3_no_fast_accumulation_cublaslt", Op::quantized_conv2d);
const Kernel kQuantizedConv2dBf16Cublaslt = conv_kernel<kQuantizedConvInputs, Form::bf16>(
    "quantized_conv2d_codes_as_bf16_cublaslt", Op::quantized_conv2d);
const Kernel kQuantizedConv2dF16Cublaslt = conv_kernel<kQuantizedConvInputs, Form::f16>(
    "quantized_conv2d_codes_as_f16_cublaslt", Op::quantized_conv2d);
const Kernel kQuantizedConv2dBf16TermsCublaslt =
    conv_kernel<kQuantizedConvInputs, Form::bf16_terms>(
        "quantized_conv2d_dequantized_bf16_terms_cublaslt", Op::quantized_conv2d);
const Kernel kQuantizedConv2dF32Cublaslt = conv_kernel<kQuantizedConvInputs, Form::f32>(
    "quantized_conv2d_dequantized_f32_cublaslt", Op::quantized_conv2d);
const Kernel kQuantizedConv2dSimt =
    conv_kernel<kQuantizedConvInputs, Form::simt>("quantized_conv2d_simt", Op::quantized_conv2d);

}  // namespace octavo::cuda
