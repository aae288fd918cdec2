#include <cstdio>
#include <fastconv/fastconv.hpp>

// The cross-correlation of a 3x3 matrix with a 2x2 kernel that every textbook starts with.
int main() {
  float input[]{0, 1, 2, 3, 4, 5, 6, 7, 8};
  float weight[]{0, 1, 2, 3};
  float output[4]{};

  fastconv::ProblemDescription description;
  description.input = {1, 3, 3};
  description.kernel = {1, 2, 2};
  const fastconv::Problem problem = fastconv::describe(description);

  using enum fastconv::DataType;
  fastconv::Arguments tensors;
  tensors.input = fastconv::channels_first_view(input, float32, problem.input_sizes());
  tensors.weight = fastconv::channels_first_view(weight, float32, problem.weight_sizes());
  tensors.output = fastconv::channels_first_view(output, float32, problem.output_sizes());
  fastconv::execute(problem, tensors);

  std::printf("%g %g %g %g\n", output[0], output[1], output[2], output[3]);
  return output[0] == 19 && output[1] == 25 && output[2] == 37 && output[3] == 43 ? 0 : 1;
}
