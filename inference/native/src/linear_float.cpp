// The bf16 and fp32 kernels; sums are fp32.
#include "linear_kernel.h"

namespace native {

template void multiply_range<Kind::BF16>(const Matrix&, const Rows&, const Output&, int64_t, int64_t);
template void multiply_range<Kind::FP32>(const Matrix&, const Rows&, const Output&, int64_t, int64_t);

}  // namespace native
