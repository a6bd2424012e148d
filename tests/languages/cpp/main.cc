// Runs all tests, or those whose names contain the first argument.

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "check.h"
#include "cluster.h"

namespace {

Cluster* the_cluster;

// A directory that goes with its handle.
struct Directory {
  std::filesystem::path path;
  Directory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "rbd-sim-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no directory like " + pattern);
    path = pattern;
  }
  ~Directory() { std::filesystem::remove_all(path); }
};

bool passes(const Test& test) {
  try {
    test.body();
    std::cout << test.name << ": ok" << std::endl;
    return true;
  } catch (const std::exception& error) {
    std::cout << test.name << ": FAILED: " << error.what() << std::endl;
    return false;
  }
}

}  // namespace

Cluster& cluster() { return *the_cluster; }

int main(int count, char** arguments) {
  const std::string wanted = count > 1 ? arguments[1] : "";
  Directory directory;
  Cluster shared(directory.path);
  the_cluster = &shared;
  int ran = 0, failed = 0;
  for (const auto& test : tests()) {
    if (std::string(test.name).find(wanted) == std::string::npos) continue;
    ++ran;
    if (!passes(test)) ++failed;
  }
  std::cout << ran << " tests, " << failed << " failed" << std::endl;
  return ran > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
