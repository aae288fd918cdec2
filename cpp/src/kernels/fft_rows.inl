/// What surrounds the transforms of fft.inl: numbers in memory, where imaginary parts follow their
/// real parts, and spectra of real numbers.
///
/// 2 m real numbers are transformed as m complex ones, z[j] = x[2 j] + i x[2 j + 1]. The even and
/// the odd numbers have the spectra E[k] = (Z[k] + Z[m - k]*) / 2 and
/// O[k] = -i (Z[k] - Z[m - k]*) / 2, and with w = exp(-2 pi i / 2 m)
///
///     X[k] = E[k] + w^k O[k],    X[m - k] = (E[k] - w^k O[k])*
///
/// The way back is Z[k] = E[k] + i O[k], O[k] = w^-k (X[k] - X[m - k]*) / 2. (Cooley, Lewis, Welch,
/// The fast Fourier transform algorithm: programming considerations in the calculation of sine,
/// cosine and Laplace transforms, 1970.)

/// Real and imaginary parts of as many numbers as there are lanes.
template <class Native, int... kLane>
inline __attribute__((always_inline)) void split_parts(Native low, Native high, Native& re,
                                                       Native& im, Lanes<kLane...>) {
  re = __builtin_shufflevector(low, high, (2 * kLane)...);
  im = __builtin_shufflevector(low, high, (2 * kLane + 1)...);
}

template <class Native, int... kLane>
inline __attribute__((always_inline)) void join_parts(Native re, Native im, Native& low,
                                                      Native& high, Lanes<kLane...>) {
  constexpr int kCount = sizeof...(kLane);
  low = __builtin_shufflevector(re, im, (kLane / 2 + kLane % 2 * kCount)...);
  high = __builtin_shufflevector(re, im, (kCount / 2 + kLane / 2 + kLane % 2 * kCount)...);
}

template <class Native, int... kLane>
inline __attribute__((always_inline)) Native reversed_lanes(Native a, Lanes<kLane...>) {
  constexpr int kCount = sizeof...(kLane);
  return __builtin_shufflevector(a, a, (kCount - 1 - kLane)...);
}

template <class V>
inline __attribute__((always_inline)) ComplexVec<V> split(V low, V high) {
  ComplexVec<V> numbers;
  split_parts(low.value, high.value, numbers.re.value, numbers.im.value,
              typename MakeLanes<V::kLanes>::Type());
  return numbers;
}

template <class V>
inline __attribute__((always_inline)) void join(ComplexVec<V> numbers, V& low, V& high) {
  join_parts(numbers.re.value, numbers.im.value, low.value, high.value,
             typename MakeLanes<V::kLanes>::Type());
}

template <class V>
inline __attribute__((always_inline)) ComplexVec<V> reversed(ComplexVec<V> numbers) {
  using AllLanes = typename MakeLanes<V::kLanes>::Type;
  return {V{reversed_lanes(numbers.re.value, AllLanes())},
          V{reversed_lanes(numbers.im.value, AllLanes())}};
}

template <class T>
void split_columns(const T* from, std::int64_t from_step, std::int64_t rows, std::int64_t columns,
                   ComplexVectors<T> to) {
  using V = Vec<T>;
  constexpr std::int64_t kLanes = V::kLanes;
  const std::int64_t low = 2 * columns < kLanes ? 2 * columns : kLanes;
  for (std::int64_t row = 0; row < rows; ++row) {
    const T* first = from + row * from_step;
    const ComplexVec<V> numbers =
        columns == kLanes
            ? split(V::load(first), V::load(first + kLanes))
            : split(V::load_partial(first, low), V::load_partial(first + low, 2 * columns - low));
    numbers.re.store(to.re + row * to.step);
    numbers.im.store(to.im + row * to.step);
  }
}

template <class T>
void join_columns(ComplexVectors<const T> from, std::int64_t rows, std::int64_t columns, T* to,
                  std::int64_t to_step) {
  using V = Vec<T>;
  constexpr std::int64_t kLanes = V::kLanes;
  const std::int64_t first_count = 2 * columns < kLanes ? 2 * columns : kLanes;
  for (std::int64_t row = 0; row < rows; ++row) {
    V low;
    V high;
    join({V::load(from.re + row * from.step), V::load(from.im + row * from.step)}, low, high);
    T* first = to + row * to_step;
    if (columns == kLanes) {
      low.store(first);
      high.store(first + kLanes);
    } else {
      low.store_partial(first, first_count);
      high.store_partial(first + first_count, 2 * columns - first_count);
    }
  }
}

/// X[k] and X[m - k] of a transform of 2 m real numbers from Z[k] and Z[m - k]: both of them are
/// scale * (a + b*) + factor * (a - b*), one as it is and one conjugated. The way back is the same
/// with factors of its own.
template <class V>
inline __attribute__((always_inline)) void exchange_halves(ComplexVec<V>& a, ComplexVec<V>& b,
                                                           V scale, ComplexVec<V> factor) {
  const ComplexVec<V> sum{V{a.re.value + b.re.value}, V{a.im.value - b.im.value}};
  const ComplexVec<V> difference{V{a.re.value - b.re.value}, V{a.im.value + b.im.value}};
  const ComplexVec<V> turned_difference = difference * factor;
  a = {V::fma(scale, sum.re, turned_difference.re), V::fma(scale, sum.im, turned_difference.im)};
  b = {V::fma(scale, sum.re, V{-turned_difference.re.value}),
       negative_fma(scale, sum.im, turned_difference.im)};
}

template <class T>
void real_spectrum(ComplexVectors<const T> half, std::int64_t length, const T* factors,
                   ComplexVectors<T> out) {
  using V = Vec<T>;
  const V re = V::load(half.re);
  const V im = V::load(half.im);
  const V scale = V::broadcast(T(0.5));
  V{re.value + im.value}.store(out.re);
  V::zero().store(out.im);
  for (std::int64_t k = 1; 2 * k <= length; ++k) {
    const std::int64_t mirror = length - k;
    ComplexVec<V> a{V::load(half.re + k * half.step), V::load(half.im + k * half.step)};
    ComplexVec<V> b{V::load(half.re + mirror * half.step), V::load(half.im + mirror * half.step)};
    exchange_halves(a, b, scale, broadcast_complex(factors + 2 * k));
    a.re.store(out.re + k * out.step);
    a.im.store(out.im + k * out.step);
    b.re.store(out.re + mirror * out.step);
    b.im.store(out.im + mirror * out.step);
  }
  V{re.value - im.value}.store(out.re + length * out.step);
  V::zero().store(out.im + length * out.step);
}

template <class T>
void half_spectrum(ComplexVectors<const T> spectrum, std::int64_t length, T scale, const T* factors,
                   ComplexVectors<T> out) {
  using V = Vec<T>;
  const V scales = V::broadcast(scale);
  const V first = V::load(spectrum.re);
  const V last = V::load(spectrum.re + length * spectrum.step);
  for (std::int64_t k = 1; 2 * k <= length; ++k) {
    const std::int64_t mirror = length - k;
    ComplexVec<V> a{V::load(spectrum.re + k * spectrum.step),
                    V::load(spectrum.im + k * spectrum.step)};
    ComplexVec<V> b{V::load(spectrum.re + mirror * spectrum.step),
                    V::load(spectrum.im + mirror * spectrum.step)};
    exchange_halves(a, b, scales, broadcast_complex(factors + 2 * k));
    a.re.store(out.re + k * out.step);
    a.im.store(out.im + k * out.step);
    b.re.store(out.re + mirror * out.step);
    b.im.store(out.im + mirror * out.step);
  }
  V{(first.value + last.value) * scales.value}.store(out.re);
  V{(first.value - last.value) * scales.value}.store(out.im);
}

/// The same for one transform, with vectors along the frequencies. Vectors of mirrored frequencies
/// must not overlap; what is left in the middle goes through vectors with few lanes in use.
template <class T, bool kForward>
void exchange_row(SplitRow<const T> in, std::int64_t length, T scale, const T* factors,
                  SplitRow<T> out) {
  using V = Vec<T>;
  constexpr std::int64_t kLanes = V::kLanes;
  const V scales = V::broadcast(scale);
  const T first = in.re[0];
  const T second = kForward ? in.im[0] : in.re[length];
  std::int64_t k = 1;
  for (; 2 * (k + kLanes) <= length + 1; k += kLanes) {
    const std::int64_t mirror = length - k - kLanes + 1;
    ComplexVec<V> a{V::load(in.re + k), V::load(in.im + k)};
    ComplexVec<V> b = reversed(ComplexVec<V>{V::load(in.re + mirror), V::load(in.im + mirror)});
    exchange_halves(a, b, scales,
                    split(V::load(factors + 2 * k), V::load(factors + 2 * k + kLanes)));
    b = reversed(b);
    a.re.store(out.re + k);
    a.im.store(out.im + k);
    b.re.store(out.re + mirror);
    b.im.store(out.im + mirror);
  }
  for (; 2 * k <= length; ++k) {
    const std::int64_t mirror = length - k;
    ComplexVec<V> a{V::load_partial(in.re + k, 1), V::load_partial(in.im + k, 1)};
    ComplexVec<V> b{V::load_partial(in.re + mirror, 1), V::load_partial(in.im + mirror, 1)};
    exchange_halves(a, b, scales, broadcast_complex(factors + 2 * k));
    a.re.store_partial(out.re + k, 1);
    a.im.store_partial(out.im + k, 1);
    b.re.store_partial(out.re + mirror, 1);
    b.im.store_partial(out.im + mirror, 1);
  }
  if constexpr (kForward) {
    out.re[0] = first + second;
    out.im[0] = T(0);
    out.re[length] = first - second;
    out.im[length] = T(0);
  } else {
    out.re[0] = (first + second) * scale;
    out.im[0] = (first - second) * scale;
  }
}
