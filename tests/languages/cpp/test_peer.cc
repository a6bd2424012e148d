// A client in C++ and the clients in Rust on one image: each keeps the rules towards the other.

#include <cerrno>
#include <memory>

#include "check.h"
#include "cluster.h"
#include "errors.h"
#include "peer.h"

using rbd::v1::NotifyMessage;
using rbd::v1::OperationEvent;
using Ack = std::optional<std::string>;

namespace {

std::unique_ptr<Peer> watching(const std::string& image, const std::string& name = "peer") {
  auto peer = std::make_unique<Peer>(cluster().address(), image, name);
  peer->watch();
  return peer;
}

std::unique_ptr<Peer> owning(const std::string& image) {
  auto peer = watching(image, "owner");
  peer->lock();
  return peer;
}

// Answers requests to flatten with `ack`, all else with an empty ack.
Peer::Answer answer_flatten(const Ack& ack) {
  return [ack](const auto&, const NotifyMessage& message) { return message.has_flatten() ? ack : Ack(""); };
}

grpc::Status flatten(Client& client, uint32_t attempts_max, std::vector<OperationEvent>& events) {
  Bounded context;
  rbd::v1::FlattenRequest request;
  request.mutable_limits()->set_attempts_max(attempts_max);
  auto stream = client.stub->Flatten(&context, request);
  OperationEvent event;
  while (stream->Read(&event)) events.push_back(event);
  return stream->Finish();
}

void write(Client& client) {
  Bounded context;
  rbd::v1::WriteRequest request;
  request.set_data("x");
  rbd::v1::WriteReply reply;
  expect_ok(client.stub->Write(&context, request, &reply), "Write");
}

// As a call: the errno's name. As a command: its number is the exit status. The error's words.
std::string expect_flatten_fails(const std::string& image, const std::string& name, int number, grpc::StatusCode code,
                                 const std::vector<std::string>& options = {}) {
  auto client = cluster().serve(image, options);
  std::vector<OperationEvent> events;
  auto status = flatten(client, 1, events);
  expect_errno(status, name, number, code);
  auto command = options;
  command.insert(command.end(), {"flatten", "--attempts", "1", image});
  auto run = cluster().rbd(command);
  CHECK_EQ(run.status, number);
  CHECK(run.err.find(name) != std::string::npos);
  CHECK(cluster().has_parent(image));
  return status.error_message();
}

// The one answer that says something.
int only_response(const osd::v1::NotifyReply& reply) {
  std::vector<std::string> said;
  for (const auto& answer : reply.replies()) {
    if (!answer.payload().empty()) said.push_back(answer.payload());
  }
  CHECK_EQ(said.size(), 1u);
  rbd::v1::ResponseMessage response;
  CHECK(response.ParseFromString(said[0]));
  return response.result();
}

}  // namespace

TEST(a_watcher_sees_a_forwarded_flatten_go_by) {
  cluster().clone("go-by");
  auto owner = cluster().serve("go-by", {"--rbd-concurrent-management-ops", "1"});
  write(owner);
  auto watcher = watching("go-by");
  auto requester = cluster().serve("go-by");
  std::vector<OperationEvent> events;
  expect_ok(flatten(requester, 0, events), "Flatten");
  auto complete = watcher->wait_for(NotifyMessage::kAsyncComplete).async_complete();
  auto request = watcher->wait_for(NotifyMessage::kFlatten).flatten().request();
  CHECK_EQ(request.id().gid(), requester.gid);
  CHECK_EQ(complete.id().SerializeAsString(), request.id().SerializeAsString());
  CHECK_EQ(complete.result(), 0);
  CHECK_EQ(watcher->wait_for(NotifyMessage::kAsyncProgress).async_progress().total(), OBJECTS);
  CHECK(watcher->position(NotifyMessage::kFlatten) < watcher->position(NotifyMessage::kHeaderUpdate));
  CHECK(watcher->position(NotifyMessage::kHeaderUpdate) < watcher->position(NotifyMessage::kAsyncComplete));
}

TEST(a_rust_owner_runs_what_a_peer_asks_for) {
  cluster().clone("asked");
  auto owner = cluster().serve("asked");
  write(owner);
  auto peer = watching("asked");
  NotifyMessage message;
  *message.mutable_flatten()->mutable_request() = peer->request(1);
  CHECK_EQ(only_response(peer->notify(message)), 0);
  auto complete = peer->wait_for(NotifyMessage::kAsyncComplete).async_complete();
  CHECK_EQ(complete.id().gid(), peer->gid());
  CHECK_EQ(complete.result(), 0);
  CHECK(!cluster().has_parent("asked"));
  // The same request again is accepted, and not run again: there is no parent to flatten any more.
  CHECK_EQ(only_response(peer->notify(message)), 0);
  // A message that only newer peers know: field 200.
  NotifyMessage newer;
  CHECK(newer.ParseFromString(std::string("\xc2\x0c\x00", 3)));
  CHECK_EQ(only_response(peer->notify(newer)), -EOPNOTSUPP);
}

TEST(a_peer_that_owns_the_lock_runs_a_flatten) {
  cluster().clone("owned");
  auto owner = owning("owned");
  owner->run_flattens(0);
  auto run = cluster().rbd({"flatten", "owned"});
  CHECK_EQ(run.status, 0);
  CHECK_EQ(owner->wait_for(NotifyMessage::kFlatten).flatten().request().attempt(), 1u);
  // The requester left it to the owner.
  CHECK(cluster().has_parent("owned"));
  auto client = cluster().serve("owned");
  std::vector<OperationEvent> events;
  expect_ok(flatten(client, 1, events), "Flatten");
  size_t steps = 0;
  for (const auto& event : events) {
    if (!event.has_progress()) continue;
    ++steps;
    CHECK(event.progress().offset() >= 1 && event.progress().offset() <= 3 && event.progress().total() == 4);
  }
  CHECK(steps > 0);
}

TEST(a_caller_is_told_where_its_request_runs) {
  cluster().clone("placed");
  auto owner = owning("placed");
  owner->answer_with(answer_flatten(owner->response(0)));
  auto client = cluster().serve("placed");
  Bounded context;
  rbd::v1::FlattenRequest request;
  request.mutable_limits()->set_attempts_max(1);
  auto stream = client.stub->Flatten(&context, request);
  std::vector<uint64_t> owners;
  OperationEvent event;
  while (stream->Read(&event)) {
    if (!event.has_placed()) continue;
    CHECK(event.placed().forwarded());
    owners.push_back(event.placed().owner_gid());
    owner->complete(owner->wait_for(NotifyMessage::kFlatten).flatten().request().id(), 0);
  }
  expect_ok(stream->Finish(), "Flatten");
  CHECK(owners == std::vector<uint64_t>{owner->gid()});
}

TEST(the_error_of_the_operation_is_the_error_of_the_call) {
  cluster().clone("failed");
  auto owner = owning("failed");
  owner->run_flattens(-EIO);
  expect_flatten_fails("failed", "EIO", EIO, grpc::StatusCode::DATA_LOSS);
}

TEST(a_refusal_is_the_error_of_the_call) {
  cluster().clone("kept");
  auto owner = owning("kept");
  owner->answer_with(answer_flatten(owner->response(-EROFS)));
  expect_flatten_fails("kept", "EROFS", EROFS, grpc::StatusCode::FAILED_PRECONDITION);
}

TEST(an_answer_that_does_not_decode_ends_the_call) {
  cluster().clone("garbage");
  auto owner = owning("garbage");
  owner->answer_with(answer_flatten("\xff\xff\xff"));
  expect_flatten_fails("garbage", "EBADMSG", EBADMSG, grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(a_second_owner_ends_the_call) {
  cluster().clone("two");
  auto owner = owning("two");
  auto second = watching("two", "second");
  for (auto* peer : {owner.get(), second.get()}) peer->answer_with(answer_flatten(peer->response(0)));
  auto text = expect_flatten_fails("two", "EIO", EIO, grpc::StatusCode::DATA_LOSS);
  for (auto* peer : {owner.get(), second.get()}) CHECK(text.find(std::to_string(peer->gid())) != std::string::npos);
}

TEST(an_owner_that_does_not_say_so_is_no_owner) {
  cluster().clone("modest");
  auto owner = owning("modest");
  owner->answer_with(answer_flatten(""));
  expect_flatten_fails("modest", "ETIMEDOUT", ETIMEDOUT, grpc::StatusCode::FAILED_PRECONDITION);
}

TEST(an_owner_that_never_answers_costs_the_notify_timeout) {
  cluster().clone("silent");
  auto owner = owning("silent");
  owner->answer_with(answer_flatten(std::nullopt));
  expect_flatten_fails("silent", "ETIMEDOUT", ETIMEDOUT, grpc::StatusCode::FAILED_PRECONDITION,
                       {"--rbd-notify-timeout", "300ms"});
}

TEST(an_accepted_request_without_progress_starts_over) {
  cluster().clone("stalled");
  auto owner = owning("stalled");
  owner->answer_with(answer_flatten(owner->response(0)));
  expect_flatten_fails("stalled", "ERESTART", ERESTART, grpc::StatusCode::ABORTED,
                       {"--rbd-request-timed-out-seconds", "500ms"});
}

TEST(the_completion_may_come_before_the_acceptance) {
  cluster().clone("early");
  auto owner = owning("early");
  owner->answer_with([owner = owner.get()](const osd::v1::Notification& notification, const NotifyMessage& message) -> Ack {
    if (!message.has_flatten()) return "";
    owner->later([owner, notification, id = message.flatten().request().id()] {
      owner->complete(id, 0);
      owner->ack(notification, owner->response(0));
    });
    return std::nullopt;
  });
  CHECK_EQ(cluster().rbd({"flatten", "--attempts", "1", "early"}).status, 0);
}

TEST(a_request_that_is_asked_again_keeps_its_id) {
  cluster().clone("again");
  auto owner = owning("again");
  std::vector<std::string> ids;
  std::vector<uint32_t> attempts;
  owner->answer_with([&, owner = owner.get()](const osd::v1::Notification&, const NotifyMessage& message) -> Ack {
    if (!message.has_flatten()) return "";
    const auto request = message.flatten().request();
    ids.push_back(request.id().SerializeAsString());
    attempts.push_back(request.attempt());
    if (ids.size() == 1) return owner->response(-85);  // ERESTART
    owner->later([owner, id = request.id()] { owner->complete(id, 0); });
    return owner->response(0);
  });
  auto run = cluster().rbd({"flatten", "again"});
  CHECK_EQ(run.status, 0);
  CHECK(run.err.find("starting over (attempt 2)") != std::string::npos);
  CHECK(ids.size() == 2 && ids[0] == ids[1]);
  CHECK(attempts == (std::vector<uint32_t>{1, 2}));
}

TEST(writes_are_refused_while_a_peer_keeps_the_lock) {
  cluster().clone("refusing");
  auto owner = owning("refusing");
  const auto refusal = owner->response(-EROFS);
  owner->answer_with([refusal](const auto&, const NotifyMessage& message) {
    return message.has_request_lock() ? Ack(refusal) : Ack("");
  });
  auto client = cluster().serve("refusing");
  Bounded context;
  rbd::v1::WriteRequest request;
  request.set_data("x");
  rbd::v1::WriteReply reply;
  expect_errno(client.stub->Write(&context, request, &reply), "EROFS", EROFS, grpc::StatusCode::FAILED_PRECONDITION);
  Bounded asking;
  rbd::v1::LockOwnerReply held;
  expect_ok(client.stub->LockOwner(&asking, {}, &held), "LockOwner");
  CHECK_EQ(held.owner().gid(), owner->gid());
}

TEST(a_peer_that_does_not_know_the_operation_is_asked_for_the_lock) {
  cluster().clone("older");
  auto owner = owning("older");
  owner->answer_with([owner = owner.get()](const osd::v1::Notification&, const NotifyMessage& message) -> Ack {
    if (message.has_flatten()) return owner->response(-EOPNOTSUPP);
    if (!message.has_request_lock()) return "";
    owner->answer_with(answer_flatten(""));
    owner->later([owner] { owner->unlock(); });
    return owner->response(0);
  });
  auto run = cluster().rbd({"flatten", "older"});
  CHECK_EQ(run.status, 0);
  CHECK(run.err.find("EOPNOTSUPP") != std::string::npos);
  CHECK(!cluster().has_parent("older"));
}

TEST(a_dead_peer_is_fenced_before_its_lock_is_taken) {
  cluster().clone("dead");
  auto owner = owning("dead");
  owner->die();
  CHECK_EQ(cluster().rbd({"flatten", "dead"}).status, 0);
  CHECK(!cluster().has_parent("dead"));
  osd::v1::OperateRequest late;
  late.set_gid(owner->gid());
  late.set_tid(100);
  late.set_pool("rbd");
  late.set_object(owner->header());
  late.add_ops()->mutable_write()->set_data("late");
  Bounded context;
  osd::v1::OperateReply reply;
  auto status = cluster().osd().Operate(&context, late, &reply);
  expect_errno(status, "EBLOCKLISTED", ESHUTDOWN, grpc::StatusCode::PERMISSION_DENIED);
}

TEST(the_answers_of_a_notify_that_timed_out_are_there) {
  cluster().clone("partial");
  auto sender = watching("partial", "sender"), answering = watching("partial", "answering"), silent = watching("partial", "silent");
  answering->answer_with([](const auto&, const auto&) { return "here"; });
  silent->answer_with([](const auto&, const auto&) { return std::nullopt; });
  NotifyMessage update;
  update.mutable_header_update();
  auto reply = sender->notify(update, 1000);
  CHECK(reply.timed_out());
  CHECK_EQ(reply.replies_size(), 2);
  for (const auto& answer : reply.replies()) CHECK_EQ(answer.payload(), answer.gid() == answering->gid() ? "here" : "");
  CHECK_EQ(reply.missed_size(), 1);
  CHECK_EQ(reply.missed(0).gid(), silent->gid());
}
