#pragma once

#include <stdexcept>
#include <string>

namespace fastconv {

/// Base of everything that fastconv throws; `what()` names the argument, what it got and what it
/// needs.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A size or an option has a value that the problem does not allow. `ValueError` in Python.
class ValueError : public Error {
 public:
  using Error::Error;
};

/// An array has an element type that the operation is not defined for. `TypeError` in Python.
class TypeError : public Error {
 public:
  using Error::Error;
};

/// A well-formed problem that no algorithm (or not the one asked for) takes.
/// `fastconv.UnsupportedError` in Python.
class UnsupportedError : public Error {
 public:
  using Error::Error;
};

}  // namespace fastconv
