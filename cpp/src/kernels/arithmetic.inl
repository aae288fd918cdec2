/// What kernels of every compute type have in common.

template <class T>
inline constexpr bool kIsFloating = T(0.5) != T(0);

/// a + b, modulo 2^n for integers.
template <class T>
inline T wrapping_add(T a, T b) {
  using Element = typename Arithmetic<T>::Type;
  return static_cast<T>(static_cast<Element>(a) + static_cast<Element>(b));
}
