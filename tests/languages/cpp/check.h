// Tests that register themselves, and checks that say what was and what should have been.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Test {
  const char* name;
  void (*body)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

inline bool add_test(const char* name, void (*body)()) {
  tests().push_back({name, body});
  return true;
}

#define TEST(name)                                         \
  static void name();                                      \
  static const bool name##_added = add_test(#name, &name); \
  static void name()

#define CHECK(condition) \
  if (!(condition)) throw std::runtime_error(std::string(__FILE__ ":") + std::to_string(__LINE__) + ": not so: " #condition)

#define CHECK_EQ(is, should)                                                                           \
  do {                                                                                                 \
    const auto& is_ = (is);                                                                            \
    const auto& should_ = (should);                                                                    \
    if (!(is_ == should_)) {                                                                           \
      std::ostringstream text;                                                                         \
      text << __FILE__ << ":" << __LINE__ << ": " #is " is '" << is_ << "', not '" << should_ << "'"; \
      throw std::runtime_error(text.str());                                                            \
    }                                                                                                  \
  } while (false)
