// What a stock gRPC client gets without special settings: errors and large objects.

#include "check.h"
#include "cluster.h"
#include "errors.h"

namespace {

constexpr uint64_t MIB = 1 << 20;

grpc::Status operate(const osd::v1::OperateRequest& request, osd::v1::OperateReply& reply) {
  Bounded context;
  return cluster().osd().Operate(&context, request, &reply);
}

uint64_t session() {
  Bounded context;
  osd::v1::ConnectReply reply;
  expect_ok(cluster().osd().Connect(&context, {}, &reply), "Connect");
  return reply.gid();
}

osd::v1::OperateRequest request_on(const std::string& object, uint64_t gid, uint64_t tid) {
  osd::v1::OperateRequest request;
  request.set_pool("rbd");
  request.set_object(object);
  request.set_gid(gid);
  request.set_tid(tid);
  return request;
}

}  // namespace

TEST(errors_of_the_osd_carry_the_name_of_the_errno_and_the_failed_op) {
  osd::v1::OperateReply reply;
  const auto gid = session();
  auto missing = request_on("errors", 0, 0);
  missing.add_ops()->mutable_stat();
  expect_errno(operate(missing, reply), "ENOENT", 2, grpc::StatusCode::NOT_FOUND);

  auto create = request_on("errors", gid, 1);
  create.add_ops()->mutable_create()->set_exclusive(true);
  expect_ok(operate(create, reply), "create");
  create.set_tid(2);
  expect_errno(operate(create, reply), "EEXIST", 17, grpc::StatusCode::ALREADY_EXISTS);

  auto attribute = request_on("errors", 0, 0);
  attribute.add_ops()->mutable_stat();
  attribute.add_ops()->mutable_get_xattr()->set_name("none");
  auto status = operate(attribute, reply);
  expect_errno(status, "ENODATA", 61, grpc::StatusCode::NOT_FOUND);
  CHECK_EQ(error_info(status)->metadata().at("failed_op"), "1");

  Bounded context;
  osd::v1::BlocklistAddRequest fence;
  fence.set_gid(gid);
  osd::v1::BlocklistAddReply fenced;
  expect_ok(cluster().osd().BlocklistAdd(&context, fence, &fenced), "BlocklistAdd");
  create.set_tid(3);
  expect_errno(operate(create, reply), "EBLOCKLISTED", 108, grpc::StatusCode::PERMISSION_DENIED);
}

TEST(an_object_of_4_mib_is_read_within_the_default_limits) {
  std::string data;
  for (uint64_t at = 0; at < 4 * MIB; ++at) data.push_back(static_cast<char>(at * 7 + at / MIB));
  const auto gid = session();
  osd::v1::OperateReply written;
  auto write = request_on("large", gid, 1);
  write.add_ops()->mutable_write_full()->set_data(data);
  expect_ok(operate(write, written), "write");

  // docs: large
  std::string content;
  uint64_t version = 0, length = MIB;
  while (length == MIB) {
    osd::v1::OperateRequest request;
    request.set_pool("rbd");
    request.set_object("large");
    // ERANGE if somebody wrote since the first piece was read.
    if (version != 0) request.add_ops()->mutable_assert_version()->set_version(version);
    auto* read = request.add_ops()->mutable_read();
    read->set_offset(content.size());
    read->set_length(MIB);
    grpc::ClientContext context;
    osd::v1::OperateReply reply;
    expect_ok(cluster().osd().Operate(&context, request, &reply), "Operate");
    version = reply.version();
    const std::string& piece = reply.results().rbegin()->read().data();
    length = piece.size();
    content += piece;
  }
  // docs: end
  CHECK(content == data);

  auto change = request_on("large", gid, 2);
  change.add_ops()->mutable_write()->set_data("x");
  expect_ok(operate(change, written), "write");
  auto torn = request_on("large", 0, 0);
  torn.add_ops()->mutable_assert_version()->set_version(version);
  torn.add_ops()->mutable_read()->set_length(MIB);
  osd::v1::OperateReply reply;
  expect_errno(operate(torn, reply), "ERANGE", 34, grpc::StatusCode::OUT_OF_RANGE);
  auto whole = request_on("large", 0, 0);
  whole.add_ops()->mutable_read();
  CHECK_EQ(operate(whole, reply).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}
