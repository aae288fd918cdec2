#pragma once

/// Everything that a program needs: describe a Problem, make a Plan, execute it.
#include "fastconv/cpu.hpp"
#include "fastconv/data_type.hpp"
#include "fastconv/error.hpp"
#include "fastconv/plan.hpp"
#include "fastconv/problem.hpp"
#include "fastconv/streaming.hpp"
#include "fastconv/tensor_view.hpp"
#include "fastconv/threads.hpp"
