// What a failed call says: a status code, words for people, and a google.rpc.ErrorInfo with Ceph's errno.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>

#include <grpcpp/grpcpp.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

// docs: errors
// The errno of a failed call: `reason` is its name, metadata "errno" its number. Empty: an error of the transport.
inline std::optional<google::rpc::ErrorInfo> error_info(const grpc::Status& status) {
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return std::nullopt;
  for (const auto& detail : details.details()) {
    google::rpc::ErrorInfo info;
    if (detail.UnpackTo(&info)) return info;
  }
  return std::nullopt;
}
// docs: end

// Throws unless the call succeeded.
inline void expect_ok(const grpc::Status& status, const std::string& what) {
  if (status.ok()) return;
  auto info = error_info(status);
  auto name = info ? info->reason() : "gRPC status " + std::to_string(status.error_code());
  throw std::runtime_error(what + ": " + name + ": " + status.error_message());
}
