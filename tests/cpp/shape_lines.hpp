#pragma once

#include <array>
#include <charconv>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "convolution_case.hpp"

namespace fastconv::testing {

/// One line of tests/shapes; README.md there explains the format.
struct ShapeLine {
  std::string title;
  ProblemDescription description;  ///< without pass and types
  TypeCombination types = uniform(DataType::float32);
  Layout layout = Layout::channels_first;
  std::vector<Pass> passes{std::begin(kPasses), std::end(kPasses)};
};

inline TypeCombination types_named(const std::string& name) {
  for (int index = 0; index < kDataTypeCount; ++index) {
    const auto type = static_cast<DataType>(index);
    if (name != name_of(type)) continue;
    if (!is_integer(type)) return uniform(type);
    return {size_of(type) == 1 ? DataType::int32 : DataType::int64, type, type};
  }
  throw std::invalid_argument("no data type is called " + name);
}

inline void read_word(const std::string& key, const std::string& value, ShapeLine& line) {
  if (key == "dtype") {
    line.types = types_named(value);
  } else if (key == "layout" && (value == "NCHW" || value == "NHWC")) {
    line.layout = value == "NCHW" ? Layout::channels_first : Layout::channels_last;
  } else if (key == "pass") {
    std::erase_if(line.passes, [&](Pass pass) { return value != name_of(pass); });
    if (line.passes.empty()) throw std::invalid_argument("no pass is called " + value);
  } else {
    throw std::invalid_argument("unknown word " + key + "=" + value);
  }
}

inline ShapeLine parse_shape_line(const std::string& text) {
  const std::size_t hash = text.find('#');
  if (hash == std::string::npos) throw std::invalid_argument("a line without a title: " + text);
  ShapeLine line;
  line.title = text.substr(text.find_first_not_of("# ", hash));
  ProblemDescription& d = line.description;
  const std::map<char, std::array<std::int64_t, 3>*> of_axes{{'i', &d.input},
                                                             {'k', &d.kernel},
                                                             {'s', &d.stride},
                                                             {'p', &d.pad_before},
                                                             {'d', &d.dilation}};
  const std::map<std::string, std::int64_t*> scalars{
      {"n", &d.n}, {"g", &d.groups}, {"c", &d.c}, {"k", &d.k}};
  std::istringstream tokens(text.substr(0, hash));
  for (std::string token; tokens >> token;) {
    if (const std::size_t equals = token.find('='); equals != std::string::npos) {
      read_word(token.substr(0, equals), token.substr(equals + 1), line);
      continue;
    }
    const std::size_t letters = token.find_first_of("-0123456789");
    const std::string name = token.substr(0, letters);
    std::int64_t value = 0;
    const char* end = token.data() + token.size();
    if (letters == std::string::npos ||
        std::from_chars(token.data() + letters, end, value).ptr != end) {
      throw std::invalid_argument("neither a size nor a word: " + token);
    }
    const std::size_t axis = std::string("dhw").find(name.back());
    if (const auto scalar = scalars.find(name); scalar != scalars.end()) {
      *scalar->second = value;
    } else if (name.size() == 2 && axis != std::string::npos && of_axes.contains(name[0])) {
      (*of_axes.at(name[0]))[axis] = value;
    } else if (name != "od" && name != "oh" && name != "ow") {
      throw std::invalid_argument("unknown size: " + token);
    }
  }
  d.spatial_rank = 3;
  d.pad_after = d.pad_before;
  d.c_per_group = d.c / d.groups;
  return line;
}

inline std::vector<ShapeLine> read_shape_lines(const std::string& name) {
  std::ifstream file(std::string(FASTCONV_SHAPES_DIR) + "/" + name);
  if (!file) throw std::runtime_error("cannot read " + name);
  std::vector<ShapeLine> lines;
  for (std::string text; std::getline(file, text);) {
    const std::size_t first = text.find_first_not_of(" \t\r");
    if (first != std::string::npos && text[first] != '#') lines.push_back(parse_shape_line(text));
  }
  return lines;
}

}  // namespace fastconv::testing
