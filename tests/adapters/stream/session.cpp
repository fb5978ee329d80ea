// SPDX-License-Identifier: Apache-2.0
// The far end's loop, spoken to frame by frame.

#include <signal.h>

#include <thread>

#include "adapters/stream/block_codec.hpp"
#include "adapters/stream/messages.hpp"
#include "adapters/stream/stream.hpp"
#include "bytes.hpp"
#include "fakes/memory_points.hpp"

using namespace umbra;
using namespace umbra::stream;

namespace {

constexpr std::uint64_t block = model::block_size;

/// serve() on a thread of its own, and the client's two ends.
class Far {
 public:
  explicit Far(fakes::CallHook hook = {})
      : m_store(host, std::move(hook)), out(m_requests.in.get()), in(m_answers.out.get()) {
    ::signal(SIGPIPE, SIG_IGN);
    m_thread = std::thread([this] {
      try {
        serve(m_store, m_requests.out.get(), m_answers.in.get());
      } catch (const base::Error& e) {
        m_end = e.kind();
      }
      m_answers.in.reset();
    });
    out.preamble(StreamKind::session);
    in.preamble(StreamKind::session);
  }
  ~Far() { end(); }
  Far(const Far&) = delete;
  Far& operator=(const Far&) = delete;

  json ask(const std::string& text, FrameType expected = FrameType::reply) {
    out.frame(FrameType::request, text);
    return answer(expected);
  }
  json answer(FrameType expected = FrameType::reply) {
    out.flush();
    const Frame frame = in.require();
    CHECK(frame.type == expected);
    return parse_object(frame.text());
  }
  void begin() {
    ask(R"({"op":"create","shadow":"web1","vm":"web1","disks":[{"name":"vda","size":655360}]})");
    model::PointHeader header;
    header.shadow = model::ShadowId("web1");
    header.vm = model::VmName("web1");
    header.number = {1};
    header.taken_at = base::Instant{};
    header.parts = {{model::DiskName("vda"), {10 * block}}};
    json request = to_json(header);
    request["op"] = "begin";
    ask(dump(request));
  }
  void send_block(std::uint64_t number) {
    const auto data = test::filled(3, block);
    m_encoder.data(out, 0, number, base::sha256(data), data);
  }
  /// How serve() ended: nothing where it returned.
  std::optional<base::Kind> end() {
    m_requests.in.reset();
    if (m_thread.joinable()) m_thread.join();
    return m_end;
  }

  fakes::MemoryHost host;

 private:
  fakes::MemoryPoints m_store;
  test::Pipe m_requests;
  test::Pipe m_answers;
  std::thread m_thread;
  std::optional<base::Kind> m_end;
  BlockEncoder m_encoder;

 public:
  FrameWriter out;
  FrameReader in;
};

}  // namespace

TEST_CASE("a bad request is answered by an error, and the session goes on") {
  Far far;
  CHECK(far.ask("[1]", FrameType::error)["kind"] == "invalid");
  CHECK(far.ask("{\"op\":", FrameType::error)["kind"] == "invalid");
  CHECK(far.ask("{}", FrameType::error)["kind"] == "unsupported");
  CHECK(far.ask(R"({"op":"fly"})", FrameType::error)["message"].get<std::string>().find("fly") != std::string::npos);
  CHECK(far.ask(R"({"op":"points"})", FrameType::error)["kind"] == "invalid");
  CHECK(far.ask(R"({"op":"points","shadow":5})", FrameType::error)["kind"] == "invalid");
  CHECK(far.ask(R"({"op":"begin","shadow":"web1"})", FrameType::error)["kind"] == "invalid");
  CHECK(far.ask(R"({"op":"manifest","shadow":"none","point":1})", FrameType::error)["kind"] == "not_found");
  CHECK(far.ask(R"({"op":"shadows"})")["shadows"].empty());
  CHECK_FALSE(far.end());
}

TEST_CASE("a request of more values than any has is refused before they are made, one of long text is read") {
  Far far;
  std::string many = R"({"op":"points","shadow":[0)";
  while (many.size() < (3u << 20)) many += ",0";
  const json error = far.ask(many + "]}", FrameType::error);
  CHECK(error["kind"] == "invalid");
  CHECK_THAT(error["message"].get<std::string>(), Catch::Contains("more than 4096 values"));
  far.ask(R"({"op":"points","shadow":)" + std::string(60'000, '['), FrameType::error);
  const std::string text(3u << 20, 'x');
  CHECK(far.ask(R"({"op":"points","shadow":")" + text + R"("})")["points"].empty());
  CHECK_FALSE(far.end());
}

TEST_CASE("numbers that none of their kind can be are refused, not taken for others") {
  Far far;
  far.begin();
  far.out.frame(FrameType::abort, Bytes{});
  far.answer();
  for (const std::string keep : {"-1", "4294967296", "1.5", "\"3\""}) {
    const std::string request = R"({"op":"retain","shadow":"web1","keep":{"most":)" + keep + "}}";
    CHECK(far.ask(request, FrameType::error)["kind"] == "invalid");
  }
  CHECK(far.ask(R"({"op":"activity","shadow":"web1","point":-1})", FrameType::error)["kind"] == "invalid");
  const std::string adopt =
      R"({"op":"adopt","shadow":"web1","vm":"web1","number":18446744073709551615,"taken_at":"2026-11-24T10:00:00Z",)"
      R"("layers":{},"parts":[],"pages":0})";
  const json error = far.ask(adopt, FrameType::error);
  CHECK(error["kind"] == "invalid");
  CHECK_THAT(error["message"].get<std::string>(), Catch::Contains("18446744073709551615"));
  CHECK_FALSE(far.end());
}

TEST_CASE("frames out of place end the session") {
  const FrameType type = GENERATE(FrameType::trailer, FrameType::abort, FrameType::reply, FrameType::zero);
  Far far;
  const bool in_a_point = type == FrameType::reply;
  if (in_a_point) far.begin();
  const Bytes payload(type == FrameType::abort ? 0 : type == FrameType::zero ? 24 : 32);
  far.out.frame(type, payload);
  far.out.flush();
  CHECK(far.end() == base::Kind::corrupt);
  CHECK(far.host.open_sinks == 0);
}

TEST_CASE(
    "a failure within a point is told at once and once, what is still coming is dropped, the next request works") {
  int blocks = 0;
  Far far([&](const std::string& call) {
    if (call == "sink.data" && ++blocks == 2) throw base::Error(base::Kind::no_space, "the disk is full", "free some");
  });
  far.begin();
  far.send_block(0);
  far.send_block(1);
  const json error = far.answer(FrameType::error);  // before the point is complete
  CHECK(error["kind"] == "no_space");
  CHECK(error["message"] == "the disk is full");
  CHECK(error["hint"] == "free some");
  CHECK(far.host.open_sinks == 0);
  for (std::uint64_t number = 2; number < 10; ++number) far.send_block(number);
  switch (GENERATE(0, 1, 2)) {
    case 0:
      far.out.frame(FrameType::trailer, Bytes(32));
      CHECK(far.ask(R"({"op":"points","shadow":"web1"})")["points"].empty());
      break;
    case 1:
      far.out.frame(FrameType::abort, Bytes{});
      CHECK(far.ask(R"({"op":"points","shadow":"web1"})")["points"].empty());
      break;
    default:  // the client, which knows why, leaves: that is no second failure
      far.out.flush();
  }
  CHECK(blocks == 2);
  CHECK_FALSE(far.end());
}

TEST_CASE("an open point that is let go leaves nothing, by ABORT or by the end of the pipe") {
  Far far;
  far.begin();
  far.send_block(0);
  const bool by_abort = GENERATE(true, false);
  if (by_abort) {
    far.out.frame(FrameType::abort, Bytes{});
    CHECK(far.answer().empty());
    CHECK_FALSE(far.end());
  } else {
    far.out.flush();
    CHECK(far.end() == base::Kind::corrupt);
  }
  CHECK(far.host.open_sinks == 0);
  CHECK(far.host.shadows.at(model::ShadowId("web1")).points.empty());
}

TEST_CASE("what came before the stream is cut, or the point let go, is the sink's") {
  const bool is_cut = GENERATE(true, false);
  unsigned told = 0;
  Far far([&](const std::string& call) { told += call == "sink.data" ? 1 : 0; });
  far.begin();
  for (std::uint64_t b = 0; b < 5; ++b) far.send_block(b);
  if (!is_cut) far.out.frame(FrameType::abort, Bytes{});
  far.out.flush();
  if (!is_cut) far.answer();
  far.end();
  CHECK(told == 5);
}
