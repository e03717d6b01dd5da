// The 6-bit and 8-bit kernels.
#include "linear_kernel.h"

namespace native {

template void multiply_range<Kind::Q6K>(const Matrix&, const Rows&, const Output&, int64_t, int64_t);
template void multiply_range<Kind::INT8>(const Matrix&, const Rows&, const Output&, int64_t, int64_t);

}  // namespace native
