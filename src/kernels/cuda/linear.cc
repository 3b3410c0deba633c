// The rows of linear and quantized_linear that are made of library products.
#include "kernels/cuda/linear_product.h"
#include "kernels/cuda/table.h"

namespace octavo::cuda {

const Kernel kLinearBf16Cublaslt =
    linear_kernel<kLinearInputs, Form::bf16>("linear_bf16_cublaslt", Op::linear);
const Kernel kLinearF16Cublaslt =
    linear_kernel<kLinearInputs, Form::f16>("linear_f16_cublaslt", Op::linear);
// bf16 x by weights of more bits.
const Kernel kLinearBf16TermsCublaslt =
    linear_kernel<kLinearInputs, Form::bf16_terms>("linear_bf16_terms_cublaslt", Op::linear);
const Kernel kLinearF32Cublaslt =
    linear_kernel<kLinearInputs, Form::f32>("linear_f32_cublaslt", Op::linear);
const Kernel kLinearSimt = linear_kernel<kLinearInputs, Form::simt>("linear_simt", Op::linear);

const Kernel kQuantizedLinearI8Cublaslt = linear_kernel<kQuantizedLinearInputs, Form::i8>(
    "quantized_linear_i8_cublaslt", Op::quantized_linear);
const Kernel kQuantizedLinearE4m3Cublaslt = linear_kernel<kQuantizedLinearInputs, Form::e4m3>(
    "quantized_linear_e4m3_no_fast_accumulation_cublaslt", Op::quantized_linear);
const Kernel kQuantizedLinearBf16Cublaslt = linear_kernel<kQuantizedLinearInputs, Form::bf16>(
    "quantized_linear_codes_as_bf16_cublaslt", Op::quantized_linear);
const Kernel kQuantizedLinearF16Cublaslt = linear_kernel<kQuantizedLinearInputs, Form::f16>(
    "quantized_linear_codes_as_f16_cublaslt", Op::quantized_linear);
const Kernel kQuantizedLinearBf16TermsCublaslt =
    linear_kernel<kQuantizedLinearInputs, Form::bf16_terms>(
        "quantized_linear_dequantized_bf16_terms_cublaslt", Op::quantized_linear);
const Kernel kQuantizedLinearF32Cublaslt = linear_kernel<kQuantizedLinearInputs, Form::f32>(
    "quantized_linear_dequantized_f32_cublaslt", Op::quantized_linear);
const Kernel kQuantizedLinearSimt = linear_kernel<kQuantizedLinearInputs, Form::simt>(
    "quantized_linear_simt", Op::quantized_linear);

}  // namespace octavo::cuda
