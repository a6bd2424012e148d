// A client of one image that speaks osd.v1 itself: it watches the header object, takes the lock, and answers requests.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "osd/v1/osd.grpc.pb.h"
#include "rbd/v1/watch_notify.pb.h"

// The watch's handle: chosen by the client, never reused in its session.
constexpr uint64_t HANDLE = 1;

class Peer {
 public:
  using Message = rbd::v1::NotifyMessage;
  // Answers a message: a string is the ack, nothing leaves the notification without one for now.
  using Answer = std::function<std::optional<std::string>(const osd::v1::Notification&, const Message&)>;

  Peer(const std::string& address, const std::string& image, const std::string& name);
  ~Peer();

  // Registers a watch on the header object.
  void watch();
  // Takes the image's exclusive lock and announces it; gives it back and announces it.
  void lock();
  void unlock();
  // Tells all clients of the image, this one included. Never call it from an Answer: it waits for the ack.
  osd::v1::NotifyReply notify(const Message& message, uint64_t timeout_ms = 5000);
  // How this peer answers from now on; until then every ack is empty.
  void answer_with(Answer answer);
  void ack(const osd::v1::Notification& notification, const std::string& payload);
  // Runs the action beside the thread that acks.
  void later(std::function<void()> action);
  // Accepts every request to flatten, reports progress, and ends it with 0 or a negative errno.
  void run_flattens(int result);
  void complete(const rbd::v1::AsyncRequestId& id, int result);
  // A lock owner's ack.
  std::string response(int result) const;
  // The header of this peer's request `number`; the same number is the same request.
  rbd::v1::RequestHeader request(uint64_t number) const;
  // The first message of this kind, whether it came already or will come.
  Message wait_for(Message::PayloadCase kind);
  // Position of the first message of this kind; the number of messages if there is none.
  size_t position(Message::PayloadCase kind);
  // Goes away as a killed process does: the session and the watch stay until they expire.
  void die();

  uint64_t gid() const { return session_.gid(); }
  const std::string& header() const { return header_; }

 private:
  std::string execute(const std::string& name, const std::string& object_class, const std::string& method,
                      const google::protobuf::Message* message);
  void send(osd::v1::WatchRequest request);
  void write_requests();
  void read_events();
  void notified(const osd::v1::Notification& notification);
  rbd::v1::ClientId client_id() const;

  std::unique_ptr<osd::v1::Osd::Stub> stub_;
  osd::v1::ConnectReply session_;
  std::string header_;
  std::atomic<uint64_t> tid_{0};

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<osd::v1::WatchRequest, osd::v1::WatchEvent>> stream_;
  std::thread reader_, writer_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // All guarded by the mutex.
  std::deque<osd::v1::WatchRequest> outbox_;
  std::vector<osd::v1::WatchResult> results_;
  std::vector<Message> seen_;
  std::vector<std::future<void>> later_;
  Answer answer_;
  bool ended_ = false;
};
