/// The source rows that a tile of kRows neighbouring output rows meets, from the topmost to the
/// lowest: height + kRows - 1 of them. With no more rows than the kernel has, the first kRows - 1
/// meet the output rows from the first on, the last ones those up to the last, and all between meet
/// every one. Calls add<kFirst, kLast>() for each, with the output rows that it meets.
template <int kRows, class Add>
[[gnu::always_inline]] inline void for_each_source_row(std::int64_t height, const Add& add) {
  static_assert(kRows <= 4);
  if constexpr (kRows > 1) add.template operator()<0, 0>();
  if constexpr (kRows > 2) add.template operator()<0, 1>();
  if constexpr (kRows > 3) add.template operator()<0, 2>();
  for (std::int64_t a = kRows - 1; a < height; ++a) add.template operator()<0, kRows - 1>();
  if constexpr (kRows > 1) add.template operator()<1, kRows - 1>();
  if constexpr (kRows > 2) add.template operator()<2, kRows - 1>();
  if constexpr (kRows > 3) add.template operator()<3, kRows - 1>();
}
