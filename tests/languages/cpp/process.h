// The programs under test as processes. What is started here is stopped here, by its process id.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

// No wait is longer than this; what takes that long has failed.
constexpr std::chrono::seconds BOUND{60};

struct Output {
  int status;
  std::string out;
  std::string err;
};

// Path of a program under test; the runner says where they lie.
std::string program(const std::string& name);

// Runs a program to its end.
Output run(const std::vector<std::string>& command);

// A program that prints one line when it serves.
class Server {
 public:
  explicit Server(const std::vector<std::string>& command);
  // SIGTERM, and SIGKILL for one that does not end.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  const std::string& ready_line() const { return ready_line_; }

 private:
  pid_t pid_;
  int out_;
  std::string ready_line_;
};
