#include "cluster.h"

#include <fstream>

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include "check.h"
#include "errors.h"

namespace {

google::protobuf::Struct parse_json(const std::string& text) {
  google::protobuf::Struct value;
  auto status = google::protobuf::util::JsonStringToMessage(text, &value);
  if (!status.ok()) throw std::runtime_error("not JSON: " + text);
  return value;
}

std::string address_of(const Server& server) {
  return parse_json(server.ready_line()).fields().at("address").string_value();
}

std::shared_ptr<grpc::Channel> connect(const std::string& address) {
  return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
}

}  // namespace

Cluster::Cluster(const std::string& directory) {
  server_ = std::make_unique<Server>(std::vector<std::string>{program("osd-sim"), "--listen", "127.0.0.1:0"});
  address_ = address_of(*server_);
  stub_ = osd::v1::Osd::NewStub(connect(address_));
  for (uint64_t at = 0; at < OBJECTS * OBJECT_BYTES; ++at) content_.push_back(static_cast<char>(at * 31 + at / OBJECT_BYTES));
  const auto disk = directory + "/disk.raw";
  std::ofstream(disk, std::ios::binary) << content_;
  rbd_ok({"import", "--no-progress", "--object-size", std::to_string(OBJECT_BYTES), disk, "parent"});
  rbd_ok({"snap", "create", "--no-progress", "parent@v1"});
  rbd_ok({"snap", "protect", "parent@v1"});
}

Output Cluster::rbd(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {program("rbd-client"), "--osd", address_});
  return run(arguments);
}

std::string Cluster::rbd_ok(std::vector<std::string> arguments) {
  auto output = rbd(std::move(arguments));
  if (output.status != 0) throw std::runtime_error("status " + std::to_string(output.status) + ": " + output.err);
  return output.out;
}

void Cluster::clone(const std::string& image) { rbd_ok({"clone", "parent@v1", image}); }

bool Cluster::has_parent(const std::string& image) {
  auto info = parse_json(rbd_ok({"--format", "json", "info", image}));
  return info.fields().contains("parent");
}

Client Cluster::serve(const std::string& image, const std::vector<std::string>& options) {
  std::vector<std::string> command{program("rbd-client"), "--osd", address_};
  command.insert(command.end(), options.begin(), options.end());
  command.insert(command.end(), {"serve", image, "--listen", "127.0.0.1:0"});
  Client client;
  client.server = std::make_unique<Server>(command);
  client.stub = rbd::v1::RbdClient::NewStub(connect(address_of(*client.server)));
  Bounded context;
  rbd::v1::InfoReply info;
  expect_ok(client.stub->Info(&context, {}, &info), "Info");
  client.gid = info.gid();
  return client;
}

void expect_errno(const grpc::Status& status, const std::string& name, int number, grpc::StatusCode code) {
  auto info = error_info(status);
  CHECK(info.has_value());
  CHECK_EQ(info->reason(), name);
  CHECK_EQ(info->metadata().at("errno"), std::to_string(number));
  CHECK_EQ(status.error_code(), code);
}
