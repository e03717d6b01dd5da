// The 4-bit kernels.
#include "linear_kernel.h"

namespace native {

template void multiply_range<Kind::Q4K>(const Matrix&, const Rows&, const Output&, int64_t, int64_t);
template void multiply_range<Kind::INT4>(const Matrix&, const Rows&, const Output&, int64_t, int64_t);
template void multiply_range<Kind::INT4S>(const Matrix&, const Rows&, const Output&, int64_t, int64_t);

}  // namespace native
