#include "process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <system_error>

namespace {

using Clock = std::chrono::steady_clock;

void require(bool ok, const std::string& what) {
  if (!ok) throw std::system_error(errno, std::generic_category(), what);
}

struct Pipe {
  int read;
  int write;
  Pipe() {
    int ends[2];
    require(pipe2(ends, O_CLOEXEC) == 0, "pipe2");
    read = ends[0];
    write = ends[1];
  }
};

// `err` below 0: this program's own standard error.
pid_t spawn(const std::vector<std::string>& command, int out, int err) {
  std::vector<char*> words;
  for (const auto& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  if (err >= 0) posix_spawn_file_actions_adddup2(&actions, err, 2);
  pid_t pid;
  errno = posix_spawn(&pid, words[0], &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  require(errno == 0, "starting " + command[0]);
  return pid;
}

// Appends what can be read from the pipe. False: it has ended. An end of the bound is an error.
bool read_some(int pipe, Clock::time_point deadline, std::string& text) {
  auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  pollfd ready{pipe, POLLIN, 0};
  if (left <= 0 || poll(&ready, 1, static_cast<int>(left)) == 0) throw std::runtime_error("no output within the bound");
  char buffer[4096];
  ssize_t length = read(pipe, buffer, sizeof buffer);
  require(length >= 0, "reading from a pipe");
  text.append(buffer, static_cast<size_t>(length));
  return length > 0;
}

void read_to_end(int pipe, Clock::time_point deadline, std::string& text) {
  while (read_some(pipe, deadline, text)) {
  }
}

}  // namespace

std::string program(const std::string& name) {
  const char* directory = std::getenv("RBD_SIM_PROGRAMS");
  if (directory == nullptr) throw std::runtime_error("RBD_SIM_PROGRAMS does not say where the programs lie");
  return std::string(directory) + "/" + name;
}

Output run(const std::vector<std::string>& command) {
  Pipe out, err;
  pid_t pid = spawn(command, out.write, err.write);
  close(out.write);
  close(err.write);
  Output output{-1, "", ""};
  std::string problem;
  try {
    // What a verb says on standard error is short: it fits into the pipe while standard output is read.
    read_to_end(out.read, Clock::now() + BOUND, output.out);
    read_to_end(err.read, Clock::now() + BOUND, output.err);
  } catch (const std::exception& error) {
    problem = error.what();
    kill(pid, SIGKILL);
  }
  int status;
  waitpid(pid, &status, 0);
  close(out.read);
  close(err.read);
  if (!problem.empty()) throw std::runtime_error(command[0] + ": " + problem);
  output.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return output;
}

Server::Server(const std::vector<std::string>& command) {
  Pipe out;
  out_ = out.read;
  pid_ = spawn(command, out.write, -1);
  close(out.write);
  auto deadline = Clock::now() + BOUND;
  bool is_open = true;
  try {
    while (is_open && ready_line_.find('\n') == std::string::npos) is_open = read_some(out_, deadline, ready_line_);
  } catch (const std::exception&) {
    is_open = false;
  }
  if (!is_open) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    close(out_);
    throw std::runtime_error(command[0] + " did not say that it serves");
  }
}

Server::~Server() {
  kill(pid_, SIGTERM);
  try {
    // Its standard output ends with it.
    std::string rest;
    read_to_end(out_, Clock::now() + BOUND, rest);
  } catch (const std::exception&) {
    kill(pid_, SIGKILL);
  }
  waitpid(pid_, nullptr, 0);
  close(out_);
}
