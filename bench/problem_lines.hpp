#pragma once

#include <charconv>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fastconv/error.hpp"
#include "fastconv/problem.hpp"

/// Convolution problems as one-line strings: the C++ reader of tests/shapes/*.txt. The format is
/// explained in tests/shapes/README.md.
namespace fastconv::bench {

/// One line. Its description gives every tensor the line's dtype; see `problem_of`.
struct ProblemLine {
  std::string title;
  ProblemDescription description;
  bool channels_last = false;
  std::vector<Pass> passes{Pass::forward, Pass::backward_input, Pass::backward_weight};
};

namespace detail {

using Tokens = std::map<std::string, std::string, std::less<>>;

/// "ih56" gives {"ih", "56"}, "pass=forward" gives {"pass=", "forward"}.
inline std::pair<std::string, std::string> split_token(const std::string& token) {
  const std::size_t equals = token.find('=');
  const std::size_t split =
      equals != std::string::npos ? equals + 1 : token.find_first_of("-0123456789");
  if (split == 0 || split >= token.size()) {
    throw ValueError("'" + token + "' is neither a size such as 'kh3' nor a word such as " +
                     "'dtype=float64'");
  }
  return {token.substr(0, split), token.substr(split)};
}

/// Takes the token called `name` out of `tokens`.
inline std::string take_word(Tokens& tokens, std::string_view name, std::string_view missing) {
  const auto found = tokens.find(name);
  if (found == tokens.end()) return std::string(missing);
  std::string value = std::move(found->second);
  tokens.erase(found);
  return value;
}

inline std::int64_t take_size(Tokens& tokens, std::string_view name, std::int64_t missing) {
  const std::string text = take_word(tokens, name, std::to_string(missing));
  std::int64_t size = 0;
  const char* end = text.data() + text.size();
  if (const auto result = std::from_chars(text.data(), end, size);
      result.ec != std::errc() || result.ptr != end) {
    throw ValueError("'" + std::string(name) + text + "' does not end with an integer");
  }
  return size;
}

inline DataType data_type_named(const std::string& name) {
  for (int index = 0; index < kDataTypeCount; ++index) {
    const auto type = static_cast<DataType>(index);
    if (name == name_of(type)) return type;
  }
  throw ValueError("dtype=" + name + " is not the name of a dtype that fastconv has");
}

inline Pass pass_named(const std::string& name) {
  for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
    if (name == name_of(pass)) return pass;
  }
  throw ValueError("pass=" + name + " is not one of forward, backward_input, backward_weight");
}

inline void read_words(ProblemLine& line, Tokens& tokens) {
  const DataType type = data_type_named(take_word(tokens, "dtype=", "float32"));
  line.description.input_type = type;
  line.description.weight_type = type;
  line.description.output_type = type;
  const std::string layout = take_word(tokens, "layout=", "NCHW");
  if (layout != "NCHW" && layout != "NHWC") {
    throw ValueError("layout=" + layout + " is not one of NCHW, NHWC");
  }
  line.channels_last = layout == "NHWC";
  const std::string pass = take_word(tokens, "pass=", "");
  if (!pass.empty()) line.passes = {pass_named(pass)};
}

/// Sizes of one axis; returns whether any differs from that of an axis which is not there.
inline bool read_axis(ProblemDescription& d, Tokens& tokens, int a) {
  const auto take = [&](char kind, std::int64_t missing) {
    return take_size(tokens, {std::string{kind, "dhw"[a]}}, missing);
  };
  d.input[a] = take('i', 1);
  d.kernel[a] = take('k', 1);
  d.stride[a] = take('s', 1);
  d.dilation[a] = take('d', 1);
  d.pad_before[a] = d.pad_after[a] = take('p', 0);
  return d.input[a] != 1 || d.kernel[a] != 1 || d.stride[a] != 1 || d.dilation[a] != 1 ||
         d.pad_before[a] != 0;
}

}  // namespace detail

/// The problem of one pass. The tensor that the pass writes has the type that sums of integers
/// need: int32 for 8-bit ones, else int64.
inline Problem problem_of(const ProblemLine& line, Pass pass) {
  ProblemDescription d = line.description;
  d.pass = pass;
  d.conjugate = pass != Pass::forward;
  DataType& written = pass == Pass::forward          ? d.output_type
                      : pass == Pass::backward_input ? d.input_type
                                                     : d.weight_type;
  if (is_integer(written)) {
    written = size_of(written) == 1 ? DataType::int32 : DataType::int64;
  }
  return describe(d);
}

/// Reads one problem. Throws ValueError with a message that says which token is wrong, or which
/// size does not fit the others.
inline ProblemLine parse_problem_line(const std::string& text) {
  const std::size_t hash = text.find('#');
  ProblemLine line;
  if (hash != std::string::npos) {
    std::istringstream words(text.substr(hash + 1));
    for (std::string word; words >> word;) line.title += (line.title.empty() ? "" : " ") + word;
  }
  if (line.title.empty()) {
    throw ValueError("'" + text + "' has no title; end the line with '# what it is'");
  }
  detail::Tokens tokens;
  std::istringstream stream(text.substr(0, hash));
  for (std::string token; stream >> token;) {
    if (!tokens.insert(detail::split_token(token)).second) {
      throw ValueError("'" + token + "': its name is given twice");
    }
  }
  ProblemDescription& d = line.description;
  detail::read_words(line, tokens);
  d.n = detail::take_size(tokens, "n", 1);
  d.groups = detail::take_size(tokens, "g", 1);
  d.c = detail::take_size(tokens, "c", 1);
  d.k = detail::take_size(tokens, "k", 1);
  d.c_per_group = d.groups > 0 ? d.c / d.groups : 0;
  d.spatial_rank = 1;
  for (int a = 2; a >= 0; --a) {
    if (detail::read_axis(d, tokens, a)) d.spatial_rank = 3 - a;
  }
  const Problem problem = describe(d);
  for (int a = 0; a < 3; ++a) {
    const std::string name{'o', "dhw"[a]};
    const std::int64_t output = problem.axes[a].output;
    if (const std::int64_t given = detail::take_size(tokens, name, output); given != output) {
      throw ValueError("'" + name + std::to_string(given) + "' should be '" + name +
                       std::to_string(output) + "' or left out");
    }
  }
  if (!tokens.empty()) {
    const auto& [name, value] = *tokens.begin();
    throw ValueError("'" + name + value +
                     "': unknown name; the known ones are in tests/shapes/README.md");
  }
  return line;
}

/// Reads every problem of a file, in its order. Throws ValueError that begins with file:line.
inline std::vector<ProblemLine> read_problem_lines(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw ValueError(path.string() + ": no such file");
  std::vector<ProblemLine> lines;
  std::set<std::string> titles;
  int number = 0;
  for (std::string text; std::getline(file, text);) {
    ++number;
    const std::size_t first = text.find_first_not_of(" \t\r");
    if (first == std::string::npos || text[first] == '#') continue;
    try {
      lines.push_back(parse_problem_line(text));
      if (!titles.insert(lines.back().title).second) {
        throw ValueError("the title '" + lines.back().title + "' is taken by a line above");
      }
    } catch (const Error& error) {
      throw ValueError(path.string() + ":" + std::to_string(number) + ": " + error.what());
    }
  }
  return lines;
}

}  // namespace fastconv::bench
