/// What kernels of every compute type have in common.
///
/// Lambdas are marked __attribute__((always_inline)): in their place, [[gnu::always_inline]]
/// belongs to the type and is ignored without a word, and sums that a lambda refers to are then in
/// memory.

template <class T>
inline constexpr bool kIsFloating = T(0.5) != T(0);

/// a + b, modulo 2^n for integers.
template <class T>
inline T wrapping_add(T a, T b) {
  using Element = typename Arithmetic<T>::Type;
  return static_cast<T>(static_cast<Element>(a) + static_cast<Element>(b));
}

/// One row on, out of the compiler's sight: it would compute the places of all rows before the
/// first tile and keep them in memory.
template <class T>
[[gnu::always_inline]] inline T* next_row(T* row, std::int64_t pitch) {
  row += pitch;
  __asm__("" : "+r"(row));
  return row;
}
