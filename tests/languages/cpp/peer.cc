#include "peer.h"

#include <algorithm>

#include "cls/lock/v1/lock.pb.h"
#include "cls/rbd/v1/rbd.pb.h"
#include "errors.h"
#include "process.h"

namespace {
const char POOL[] = "rbd";
const char COOKIE[] = "auto 1";
}  // namespace

Peer::Peer(const std::string& address, const std::string& image, const std::string& name) {
  // docs: connect
  stub_ = osd::v1::Osd::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  osd::v1::ConnectRequest connect;
  connect.set_name(name);
  grpc::ClientContext context;
  expect_ok(stub_->Connect(&context, connect, &session_), "Connect");
  // docs: end
  answer_ = [](const auto&, const auto&) { return ""; };
  cls::rbd::v1::ImageId id;
  id.ParseFromString(execute("rbd_id." + image, "rbd", "get_id", nullptr));
  header_ = "rbd_header." + id.id();
}

Peer::~Peer() {
  std::vector<std::future<void>> running;
  {
    std::lock_guard guard(mutex_);
    running.swap(later_);
  }
  for (auto& action : running) action.wait();
  grpc::ClientContext context;
  osd::v1::DisconnectRequest request;
  osd::v1::DisconnectReply reply;
  request.set_gid(gid());
  // Fails for a peer that has died.
  stub_->Disconnect(&context, request, &reply);
  die();
}

// docs: execute
std::string Peer::execute(const std::string& name, const std::string& object_class, const std::string& method,
                          const google::protobuf::Message* message) {
  osd::v1::OperateRequest request;
  request.set_gid(gid());
  request.set_tid(++tid_);
  request.set_pool(POOL);
  request.set_object(name);
  auto* call = request.add_ops()->mutable_exec();
  call->set_class_(object_class);
  call->set_method(method);
  if (message != nullptr) call->set_input(message->SerializeAsString());
  grpc::ClientContext context;
  osd::v1::OperateReply reply;
  expect_ok(stub_->Operate(&context, request, &reply), object_class + "." + method + " on " + name);
  return reply.results(0).exec().output();
}
// docs: end

// docs: watch
void Peer::watch() {
  stream_ = stub_->Watch(&context_);
  reader_ = std::thread(&Peer::read_events, this);
  writer_ = std::thread(&Peer::write_requests, this);
  osd::v1::WatchRequest hello, registration;
  hello.mutable_hello()->set_gid(gid());
  auto* watch = registration.mutable_register_();
  watch->set_pool(POOL);
  watch->set_object(header_);
  watch->set_cookie(HANDLE);
  send(hello);
  send(registration);
  std::unique_lock guard(mutex_);
  bool answered = changed_.wait_for(guard, BOUND, [&] { return ended_ || results_.size() == 2; });
  if (!answered || ended_) throw std::runtime_error("the watch was not answered");
  for (const auto& result : results_) {
    if (result.has_error()) throw std::runtime_error("watch: " + result.error().text());
  }
}

// Sends whatever is in the outbox, and a ping when there was nothing for a sixth of the watch's timeout.
void Peer::write_requests() {
  const std::chrono::milliseconds idle(session_.osd_client_watch_timeout_ms() / 6);
  std::unique_lock guard(mutex_);
  while (!ended_) {
    changed_.wait_for(guard, idle, [&] { return ended_ || !outbox_.empty(); });
    osd::v1::WatchRequest request;
    if (outbox_.empty()) {
      request.mutable_ping();
    } else {
      request = outbox_.front();
      outbox_.pop_front();
    }
    guard.unlock();
    stream_->Write(request);
    guard.lock();
  }
}

void Peer::read_events() {
  osd::v1::WatchEvent event;
  while (stream_->Read(&event)) {
    if (event.has_notify()) notified(event.notify());
    if (event.has_result()) {
      std::lock_guard guard(mutex_);
      results_.push_back(event.result());
      changed_.notify_all();
    }
  }
  std::lock_guard guard(mutex_);
  ended_ = true;
  changed_.notify_all();
}

// Every notify must be acked soon: its sender waits for it.
void Peer::notified(const osd::v1::Notification& notification) {
  Message message;
  message.ParseFromString(notification.payload());
  Answer answer;
  {
    std::lock_guard guard(mutex_);
    answer = answer_;
  }
  if (auto payload = answer(notification, message)) ack(notification, *payload);
  std::lock_guard guard(mutex_);
  seen_.push_back(message);
  changed_.notify_all();
}

void Peer::ack(const osd::v1::Notification& notification, const std::string& payload) {
  osd::v1::WatchRequest request;
  auto* ack = request.mutable_ack();
  ack->set_pool(POOL);
  ack->set_object(header_);
  ack->set_notify_id(notification.notify_id());
  ack->set_cookie(HANDLE);
  ack->set_payload(payload);
  send(request);
}
// docs: end

void Peer::send(osd::v1::WatchRequest request) {
  std::lock_guard guard(mutex_);
  outbox_.push_back(std::move(request));
  changed_.notify_all();
}

// docs: notify
osd::v1::NotifyReply Peer::notify(const Message& message, uint64_t timeout_ms) {
  osd::v1::NotifyRequest request;
  request.set_gid(gid());
  request.set_pool(POOL);
  request.set_object(header_);
  request.set_payload(message.SerializeAsString());
  request.set_timeout_ms(timeout_ms);
  grpc::ClientContext context;
  osd::v1::NotifyReply reply;
  expect_ok(stub_->Notify(&context, request, &reply), "Notify");
  return reply;
}

void Peer::later(std::function<void()> action) {
  std::lock_guard guard(mutex_);
  later_.push_back(std::async(std::launch::async, std::move(action)));
}
// docs: end

// docs: lock
void Peer::lock() {
  cls::lock::v1::Lock lock;
  lock.set_name("rbd_lock");
  lock.set_type(cls::lock::v1::LOCK_TYPE_EXCLUSIVE);
  lock.set_cookie(COOKIE);  // "auto " and the watch's handle
  lock.set_tag("internal");
  execute(header_, "lock", "lock", &lock);
  Message announcement;
  *announcement.mutable_acquired_lock()->mutable_client_id() = client_id();
  notify(announcement);
}

void Peer::unlock() {
  cls::lock::v1::Unlock unlock;
  unlock.set_name("rbd_lock");
  unlock.set_cookie(COOKIE);
  execute(header_, "lock", "unlock", &unlock);
  Message announcement;
  *announcement.mutable_released_lock()->mutable_client_id() = client_id();
  notify(announcement);
}

rbd::v1::ClientId Peer::client_id() const {
  rbd::v1::ClientId id;
  id.set_gid(gid());
  id.set_handle(HANDLE);
  return id;
}
// docs: end

void Peer::answer_with(Answer answer) {
  std::lock_guard guard(mutex_);
  answer_ = std::move(answer);
}

// docs: response
// Without `responder` a result of 0 would be no bytes at all, and those say "not the owner".
std::string Peer::response(int result) const {
  rbd::v1::ResponseMessage message;
  message.set_result(result);
  *message.mutable_responder() = client_id();
  return message.SerializeAsString();
}
// docs: end

// docs: owner
void Peer::run_flattens(int result) {
  answer_with([this, result](const auto&, const Message& message) -> std::optional<std::string> {
    if (!message.has_flatten()) return "";
    later([this, result, id = message.flatten().request().id()] {
      for (int step : {1, 2, 3}) {
        Message progress;
        *progress.mutable_async_progress()->mutable_id() = id;
        progress.mutable_async_progress()->set_offset(step);
        progress.mutable_async_progress()->set_total(4);
        notify(progress);
      }
      complete(id, result);
    });
    return response(0);
  });
}

void Peer::complete(const rbd::v1::AsyncRequestId& id, int result) {
  Message complete;
  *complete.mutable_async_complete()->mutable_id() = id;
  complete.mutable_async_complete()->set_result(result);
  notify(complete);
}
// docs: end

rbd::v1::RequestHeader Peer::request(uint64_t number) const {
  rbd::v1::RequestHeader header;
  header.mutable_id()->set_gid(gid());
  header.mutable_id()->set_open_number(1);
  header.mutable_id()->set_request_number(number);
  header.set_handle(HANDLE);
  header.set_attempt(1);
  header.set_low_water_mark(1);
  return header;
}

Peer::Message Peer::wait_for(Message::PayloadCase kind) {
  std::unique_lock guard(mutex_);
  auto is_kind = [&](const Message& message) { return message.payload_case() == kind; };
  auto found = [&] { return std::find_if(seen_.begin(), seen_.end(), is_kind); };
  if (!changed_.wait_for(guard, BOUND, [&] { return found() != seen_.end(); })) {
    throw std::runtime_error("a message that was waited for did not come");
  }
  return *found();
}

size_t Peer::position(Message::PayloadCase kind) {
  std::lock_guard guard(mutex_);
  auto is_kind = [&](const Message& message) { return message.payload_case() == kind; };
  return static_cast<size_t>(std::find_if(seen_.begin(), seen_.end(), is_kind) - seen_.begin());
}

void Peer::die() {
  if (!reader_.joinable()) return;
  context_.TryCancel();
  reader_.join();
  writer_.join();
  stream_->Finish();
}
