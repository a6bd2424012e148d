// One OSD and one parent image for all tests; each test has clones of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "osd/v1/osd.grpc.pb.h"
#include "process.h"
#include "rbd/v1/client.grpc.pb.h"

constexpr uint64_t OBJECT_BYTES = 64 * 1024;
constexpr uint64_t OBJECTS = 16;

// A running `rbd-client serve`.
struct Client {
  std::unique_ptr<Server> server;
  std::unique_ptr<rbd::v1::RbdClient::Stub> stub;
  uint64_t gid;
};

class Cluster {
 public:
  explicit Cluster(const std::string& directory);

  // One verb of rbd-client, run to its end.
  Output rbd(std::vector<std::string> arguments);
  // One verb that must succeed; its output.
  std::string rbd_ok(std::vector<std::string> arguments);
  // A fresh clone of the parent.
  void clone(const std::string& image);
  bool has_parent(const std::string& image);
  Client serve(const std::string& image, const std::vector<std::string>& options = {});

  const std::string& address() const { return address_; }
  const std::string& content() const { return content_; }
  osd::v1::Osd::Stub& osd() { return *stub_; }

 private:
  std::unique_ptr<Server> server_;
  std::string address_;
  std::string content_;
  std::unique_ptr<osd::v1::Osd::Stub> stub_;
};

// The cluster of this run.
Cluster& cluster();

// A context whose call ends within the bound.
struct Bounded : grpc::ClientContext {
  Bounded() { set_deadline(std::chrono::system_clock::now() + BOUND); }
};

// Throws unless the call failed with this errno, by name, number and gRPC code.
void expect_errno(const grpc::Status& status, const std::string& name, int number, grpc::StatusCode code);
