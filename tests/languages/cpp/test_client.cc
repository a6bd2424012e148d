// Driving a running client: service rbd.v1.RbdClient.

#include <algorithm>
#include <iostream>

#include "check.h"
#include "cluster.h"
#include "errors.h"

using rbd::v1::OperationEvent;

static constexpr uint64_t MIB = 1 << 20;

static std::string read(Client& client, uint64_t offset, uint64_t length) {
  Bounded context;
  rbd::v1::ReadRequest request;
  request.set_offset(offset);
  request.set_length(length);
  rbd::v1::ReadReply reply;
  expect_ok(client.stub->Read(&context, request, &reply), "Read");
  return reply.data();
}

static grpc::Status write(Client& client, uint64_t offset, const std::string& data) {
  Bounded context;
  rbd::v1::WriteRequest request;
  request.set_offset(offset);
  request.set_data(data);
  rbd::v1::WriteReply reply;
  return client.stub->Write(&context, request, &reply);
}

TEST(bytes_go_in_and_come_out) {
  cluster().clone("bytes");
  auto client = cluster().serve("bytes");
  CHECK(read(client, 5, OBJECT_BYTES) == cluster().content().substr(5, OBJECT_BYTES));
  expect_ok(write(client, 10, "hello"), "Write");
  auto expected = cluster().content().substr(8, 9);
  expected.replace(2, 5, "hello");
  CHECK(read(client, 8, 9) == expected);
}

TEST(images_are_made_by_a_running_client) {
  auto client = cluster().serve("parent");
  std::string content;
  for (uint64_t at = 0; at < 3 * MIB + 5; ++at) content.push_back(static_cast<char>(at * 7 + at / MIB));
  // docs: images
  rbd::v1::CreateImageRequest empty, disk;
  empty.mutable_image()->set_image("cpp-empty");
  empty.set_size(MIB);
  grpc::ClientContext create;
  rbd::v1::CreateImageReply created;
  expect_ok(client.stub->CreateImage(&create, empty, &created), "CreateImage");

  disk.mutable_image()->set_image("cpp-disk");
  disk.set_size(content.size());
  grpc::ClientContext import;
  rbd::v1::ImportImageReply imported;
  auto parts = client.stub->ImportImage(&import, &imported);
  rbd::v1::ImportImageRequest part;
  *part.mutable_image() = disk;
  bool goes_on = parts->Write(part);
  for (size_t at = 0; goes_on && at < content.size(); at += MIB) {
    part.set_data(content.substr(at, MIB));
    goes_on = parts->Write(part);
  }
  parts->WritesDone();
  // Also says why a Write was refused.
  expect_ok(parts->Finish(), "ImportImage");
  // docs: end
  cluster().rbd_ok({"snap", "create", "--no-progress", "cpp-disk@base"});
  // docs: clone
  rbd::v1::CloneImageRequest clone;
  *clone.mutable_parent() = disk.image();
  clone.set_snapshot("base");
  clone.mutable_image()->set_image("cpp-clone");
  grpc::ClientContext context;
  rbd::v1::CloneImageReply cloned;
  expect_ok(client.stub->CloneImage(&context, clone, &cloned), "CloneImage");
  // docs: end
  auto child = cluster().serve("cpp-clone");
  for (uint64_t at = 0; at < content.size(); at += MIB) CHECK(read(child, at, MIB) == content.substr(at, MIB));
  CHECK(cluster().has_parent("cpp-clone"));
  Bounded again;
  expect_errno(client.stub->CreateImage(&again, empty, &created), "EEXIST", 17, grpc::StatusCode::ALREADY_EXISTS);
}

TEST(flatten_reports_progress_while_it_runs) {
  cluster().clone("progress");
  auto client = cluster().serve("progress", {"--rbd-concurrent-management-ops", "1"});
  std::ostringstream log;
  std::vector<OperationEvent> seen;
  // docs: flatten
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + BOUND);
  auto stream = client.stub->Flatten(&context, rbd::v1::FlattenRequest());
  rbd::v1::OperationEvent event;
  while (stream->Read(&event)) {
    if (event.has_placed()) log << "runs " << (event.placed().forwarded() ? "at the lock owner" : "here") << "\n";
    if (event.has_progress()) log << event.progress().offset() << " of " << event.progress().total() << "\n";
    if (event.has_restarted()) log << "starting over: " << event.restarted().reason() << "\n";
    seen.push_back(event);
  }
  grpc::Status status = stream->Finish();
  // docs: end
  expect_ok(status, "Flatten");
  CHECK(log.str().rfind("runs here\n", 0) == 0);
  std::vector<uint64_t> progress;
  for (const auto& event : seen) {
    if (event.has_progress()) progress.push_back(event.progress().offset());
  }
  CHECK(!progress.empty());
  CHECK(std::is_sorted(progress.begin(), progress.end()));
  CHECK_EQ(seen.back().done().attempts(), 1u);
  CHECK(!cluster().has_parent("progress"));
  CHECK(read(client, 0, OBJECTS * OBJECT_BYTES) == cluster().content());
}

TEST(events_tell_what_the_client_does) {
  cluster().clone("events");
  auto client = cluster().serve("events");
  Bounded events_context, flatten_context;
  auto events = client.stub->Events(&events_context, rbd::v1::EventsRequest());
  // The stream counts from the call on: it is there when its first headers are.
  events->WaitForInitialMetadata();
  auto flatten = client.stub->Flatten(&flatten_context, rbd::v1::FlattenRequest());
  OperationEvent step;
  while (flatten->Read(&step)) {
  }
  expect_ok(flatten->Finish(), "Flatten");
  rbd::v1::ClientEvent event;
  bool was_locked = false;
  std::string started;
  uint64_t sequence = 0;
  while (events->Read(&event) && !event.has_operation_ended()) {
    CHECK_EQ(event.sequence(), ++sequence);
    was_locked |= event.lock_state().state() == "locked";
    if (event.has_operation_started()) started = event.operation_started().request_id();
  }
  CHECK(was_locked);
  CHECK_EQ(event.operation_ended().operation(), "flatten");
  CHECK_EQ(event.operation_ended().request_id(), started);
  CHECK_EQ(event.operation_ended().result(), 0);
  events_context.TryCancel();
  events->Finish();
}

TEST(errors_carry_the_name_of_the_errno) {
  cluster().clone("refused");
  auto client = cluster().serve("refused");
  // docs: catch
  grpc::Status status = write(client, OBJECTS * OBJECT_BYTES, "beyond the end");
  auto info = error_info(status);
  CHECK_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  CHECK_EQ(info->reason(), "EINVAL");
  CHECK_EQ(info->metadata().at("errno"), "22");
  // docs: end
  for (bool is_second : {false, true}) {
    Bounded context;
    rbd::v1::SnapCreateRequest request;
    request.set_name("s");
    auto stream = client.stub->SnapCreate(&context, request);
    OperationEvent event;
    while (stream->Read(&event)) {
    }
    auto end = stream->Finish();
    if (is_second) expect_errno(end, "EEXIST", 17, grpc::StatusCode::ALREADY_EXISTS);
    else expect_ok(end, "SnapCreate");
  }
}
