// SPDX-License-Identifier: Apache-2.0
// The near end of a session: a PointStore whose acts happen at the far end.

#include <fmt/core.h>

#include <optional>

#include "adapters/stream/block_codec.hpp"
#include "adapters/stream/kept.hpp"
#include "adapters/stream/messages.hpp"
#include "adapters/stream/stream.hpp"

namespace umbra::stream {
namespace {

using base::Error;
using base::Kind;

constexpr base::Millis patience{3000};  // for a far end that closed its output to end

/// What the session is spoken over, and the child at its other end where there is one.
struct FarEnd {
  std::string name;  ///< for messages
  std::string hint;
  base::Child child;
  std::unique_ptr<base::Line> line;

  /// It leaves when it has read what was written.
  void end() noexcept {
    line->end();
    child.to_child.reset();
  }
  /// Its exit status; nothing where it still runs, or is no child.
  std::optional<int> status() {
    if (child.pid() <= 0) return std::nullopt;
    const int status = child.wait_for(patience);
    return status < 0 ? std::nullopt : std::optional(status);
  }
};

FarEnd start(const base::Argv& argv) {
  const std::string command = base::to_shell(argv);
  FarEnd far{command, fmt::format("try it by hand: {} </dev/null", command), base::spawn(argv, true, true), nullptr};
  widen_pipe(far.child.to_child.get());
  far.line = std::make_unique<base::FdLine>(far.child.from_child.get(), far.child.to_child.get());
  return far;
}

/// Every failure of the line becomes "the far end died" here, with what is known of it.
class Link {
 public:
  explicit Link(FarEnd far) : m_far(std::move(far)), m_out(*m_far.line), m_in(*m_far.line) {
    guarded([&] {
      m_out.preamble(StreamKind::session);
      m_out.flush();
      m_in.preamble(StreamKind::session);
    });
  }

  ~Link() {
    m_far.end();  // the far end leaves at the end of its input; a child's owner kills what does not
    try {
      m_far.status();
    } catch (const std::exception&) {
      // Nothing to be done: the child is reaped by its owner.
    }
  }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// The far end's answer; its error is thrown here.
  json answer() {
    return guarded([&] {
      m_out.flush();
      return read_answer();
    });
  }
  json ask(const json& request) {
    return guarded([&] {
      m_out.frame(FrameType::request, dump(request));
      m_out.flush();
      return read_answer();
    });
  }

  /// Writes; where that fails, the far end's last words come first.
  template <class Act>
  void write(Act&& act) {
    guarded([&] { act(m_out); });
  }
  model::Manifest digests(const std::vector<model::Part>& parts, std::uint64_t pages) {
    return guarded([&] { return read_digests(m_in, parts, pages); });
  }
  Kept kept(const std::vector<model::Part>& parts, std::uint64_t runs) {
    return guarded([&] { return read_kept(m_in, parts, runs); });
  }
  /// Whether the far end said something, or died.
  bool has_news() const { return m_in.ready(); }
  model::ByteCount written() const { return m_out.written(); }

 private:
  struct FarError {
    Error error;
  };

  json read_answer() {
    const Frame frame = m_in.require();
    if (frame.type == FrameType::error) throw FarError{error_from(parse_object(frame.text()))};
    if (frame.type != FrameType::reply)
      throw Error(Kind::corrupt, "the far end answered with a frame that is no answer");
    return parse_object(frame.text());
  }

  template <class Act>
  auto guarded(Act&& act) -> decltype(act()) {
    if (m_dead) throw *m_dead;
    try {
      return act();
    } catch (const FarError& far) {
      throw Error(far.error);
    } catch (const Error& e) {
      if (e.kind() == Kind::invalid) throw;  // refused before anything was sent
      throw died(e);
    }
  }

  /// What became of the far end. It is remembered: no later request is tried.
  Error died(const Error& cause) {
    m_far.end();
    if (cause.kind() == Kind::io) {
      // Writing failed; the reason may lie in the answers that were not read yet.
      try {
        read_answer();
      } catch (const FarError& far) {
        m_dead = far.error;
        return far.error;
      } catch (const Error&) {
        // There is none: the exit status has to do.
      }
    }
    const int status = m_far.status().value_or(0);
    if (cause.kind() == Kind::unsupported || cause.kind() == Kind::refused || cause.kind() == Kind::cancelled)
      m_dead.emplace(cause);
    else if (status > 0)
      m_dead.emplace(Kind::unreachable, fmt::format("the far end `{}` ended with status {}", m_far.name, status),
                     m_far.hint);
    else
      m_dead.emplace(Kind::unreachable,
                     fmt::format("the far end `{}` left the session: {}", m_far.name, cause.message()), m_far.hint);
    return *m_dead;
  }

  FarEnd m_far;
  FrameWriter m_out;
  FrameReader m_in;
  std::optional<Error> m_dead;
};

/// One open point. `open` lives in the store, so that two points at a time are refused.
class RemoteSink final : public ports::BlockSink {
 public:
  RemoteSink(std::shared_ptr<Link> link, std::shared_ptr<bool> open, Kept kept)
      : m_link(std::move(link)), m_open(std::move(open)), m_kept(std::move(kept)), m_before(m_link->written()) {
    *m_open = true;
  }

  ~RemoteSink() override {
    *m_open = false;
    if (m_ended) return;
    try {
      m_link->write([](FrameWriter& out) { out.frame(FrameType::abort, std::string_view{}); });
      if (!m_answered) m_link->answer();
    } catch (const std::exception&) {
      // A far end that died, or that refused the point just now: either way the point is gone.
    }
  }

  void save_bytes() override { m_encoder.save_bytes(); }
  void data(std::size_t part, std::uint64_t block, const base::Digest& digest,
            std::span<const std::byte> data) override {
    listen();
    write([&](FrameWriter& out) { m_encoder.data(out, part, block, digest, data); });
  }
  void zero(std::size_t part, std::uint64_t first, std::uint64_t count) override {
    listen();
    write([&](FrameWriter& out) { BlockEncoder::zero(out, part, first, count); });
  }
  model::PointInfo commit(const base::Digest& changes) override {
    listen();
    write([&](FrameWriter& out) { out.frame(FrameType::trailer, changes.bytes); });
    m_ended = true;  // TRAILER is answered once, as ABORT would be
    return info_from(m_link->answer());
  }
  model::ByteCount sent() const override { return {m_link->written().value - m_before.value}; }
  Kept kept() const override { return m_kept; }

 private:
  /// The far end speaks up within a point only to say that it failed.
  void listen() {
    if (m_answered) throw Error(Kind::internal, "a point that failed takes no more blocks");
    if (!m_link->has_news()) return;
    m_answered = true;
    m_link->answer();
    throw Error(Kind::internal, "the far end answered before the point was complete");
  }
  template <class Act>
  void write(Act&& act) {
    try {
      m_link->write(std::forward<Act>(act));
    } catch (...) {
      m_answered = true;
      throw;
    }
  }

  std::shared_ptr<Link> m_link;
  std::shared_ptr<bool> m_open;
  Kept m_kept;
  BlockEncoder m_encoder;
  model::ByteCount m_before;
  bool m_answered = false;  ///< the one answer to this point was read, or can't come any more
  bool m_ended = false;
};

class RemoteStore final : public ports::PointStore {
 public:
  explicit RemoteStore(FarEnd far) : m_link(std::make_shared<Link>(std::move(far))) {}

  Paths create(const model::ShadowId& shadow, const model::VmName& vm, const std::vector<model::Part>& disks) override {
    return paths_from(
        ask({{"op", "create"}, {"shadow", shadow.get()}, {"vm", vm.get()}, {"disks", to_json(disks)}})["paths"]);
  }
  Paths claim(const model::ShadowId& from, const model::ShadowId& to, const model::VmName& vm,
              const std::vector<model::Part>& disks) override {
    return paths_from(ask({{"op", "claim"},
                           {"from", from.get()},
                           {"to", to.get()},
                           {"vm", vm.get()},
                           {"disks", to_json(disks)}})["paths"]);
  }
  void drop(const model::ShadowId& shadow) override { ask({{"op", "drop"}, {"shadow", shadow.get()}}); }
  void take_back(const model::ShadowId& shadow) override { ask({{"op", "take_back"}, {"shadow", shadow.get()}}); }
  void drop_with_adopted(const model::ShadowId& shadow) override {
    ask({{"op", "drop_with_adopted"}, {"shadow", shadow.get()}});
  }
  std::vector<model::ShadowId> shadows() override {
    const json reply = ask({{"op", "shadows"}});
    return reading([&] {
      std::vector<model::ShadowId> ids;
      for (const json& id : reply.at("shadows")) ids.emplace_back(id.get<std::string>());
      return ids;
    });
  }
  std::vector<model::PointInfo> points(const model::ShadowId& shadow) override {
    const json reply = ask({{"op", "points"}, {"shadow", shadow.get()}});
    return reading([&] {
      std::vector<model::PointInfo> infos;
      for (const json& info : reply.at("points")) infos.push_back(info_from(info));
      return infos;
    });
  }
  model::Manifest manifest(const model::ShadowId& shadow, model::PointNumber point) override {
    const json reply = ask({{"op", "manifest"}, {"shadow", shadow.get()}, {"point", point.value}});
    return m_link->digests(parts_from(reading([&] { return reply.at("parts"); })), pages_from(reply));
  }
  std::string activity(const model::ShadowId& shadow, model::PointNumber point) override {
    const json reply = ask({{"op", "activity"}, {"shadow", shadow.get()}, {"point", point.value}});
    return reading([&] { return reply.at("activity").get<std::string>(); });
  }
  model::Ground examine(const model::ShadowId& shadow) override {
    const json reply = ask({{"op", "examine"}, {"shadow", shadow.get()}});
    model::Ground ground = ground_from(reply);
    const std::vector<model::Part> parts = parts_from(reading([&] { return reply.at("parts"); }));
    if (!parts.empty()) ground.found = m_link->digests(parts, pages_from(reply));
    return ground;
  }
  std::unique_ptr<ports::BlockSink> begin(const model::PointHeader& header) override {
    json request = to_json(header);
    request["op"] = "begin";
    const json reply = ask(request);
    const auto runs = reading([&] { return reply.at("kept").get<std::uint64_t>(); });
    return std::make_unique<RemoteSink>(m_link, m_open, m_link->kept(header.parts, runs));
  }
  model::VerifyReport verify(const model::ShadowId& shadow, model::PointNumber point, ports::Verify what) override {
    return report_from(
        ask({{"op", "verify"}, {"shadow", shadow.get()}, {"point", point.value}, {"what", to_string(what)}}));
  }
  unsigned retain(const model::ShadowId& shadow, const ports::Keep& keep) override {
    const json reply = ask({{"op", "retain"}, {"shadow", shadow.get()}, {"keep", to_json(keep)}});
    return reading([&] { return reply.at("merged").get<unsigned>(); });
  }
  std::vector<std::string> export_point(const model::ShadowId& shadow, model::PointNumber point,
                                        const std::string& target) override {
    const json reply =
        ask({{"op", "export_point"}, {"shadow", shadow.get()}, {"point", point.value}, {"target", target}});
    return reading([&] { return reply.at("files").get<std::vector<std::string>>(); });
  }
  Paths raise_top(const model::ShadowId& shadow, model::PointNumber point, const std::string& purpose) override {
    return paths_from(
        ask({{"op", "raise_top"}, {"shadow", shadow.get()}, {"point", point.value}, {"purpose", purpose}})["paths"]);
  }
  void drop_top(const model::ShadowId& shadow, const std::string& purpose) override {
    ask({{"op", "drop_top"}, {"shadow", shadow.get()}, {"purpose", purpose}});
  }
  void adopt(const ports::AdoptRequest& request) override {
    require_idle();
    std::vector<model::Part> parts;
    for (const model::PartManifest& part : request.manifest.parts) {
      if (part.blocks.size() != model::blocks_in(part.part.size))
        throw Error(Kind::invalid,
                    fmt::format("the manifest of {} has {} digests", part.part.name.get(), part.blocks.size()));
      parts.push_back(part.part);
    }
    const json message{{"op", "adopt"},
                       {"shadow", request.shadow.get()},
                       {"vm", request.vm.get()},
                       {"number", request.number.value},
                       {"taken_at", base::to_rfc3339(request.taken_at)},
                       {"layers", to_json(request.layers)},
                       {"parts", to_json(parts)},
                       {"pages", pages_of(request.manifest)}};
    m_link->write([&](FrameWriter& out) {
      out.frame(FrameType::request, dump(message));
      write_digests(out, request.manifest);
    });
    m_link->answer();
  }
  void remove_made(const std::string& path) override { ask({{"op", "remove_made"}, {"path", path}}); }
  std::vector<std::string> chain(const std::string& path) override {
    const json reply = ask({{"op", "chain"}, {"path", path}});
    return reading([&] { return reply.at("files").get<std::vector<std::string>>(); });
  }
  model::FileStamp stamp(const std::string& path) override {
    return stamp_from(ask({{"op", "stamp"}, {"path", path}}));
  }
  model::ByteCount free_space() override {
    const json reply = ask({{"op", "free_space"}});
    return reading([&] { return model::ByteCount{reply.at("bytes").get<std::uint64_t>()}; });
  }

 private:
  void require_idle() const {
    if (*m_open) throw Error(Kind::internal, "a request was made of the far end while a point is open");
  }
  json ask(const json& request) {
    require_idle();
    return m_link->ask(request);
  }

  std::shared_ptr<Link> m_link;
  std::shared_ptr<bool> m_open = std::make_shared<bool>(false);
};

}  // namespace

std::unique_ptr<ports::PointStore> connect(const base::Argv& far_end) {
  return std::make_unique<RemoteStore>(start(far_end));
}

std::unique_ptr<ports::PointStore> connect(std::unique_ptr<base::Line> line, const std::string& name) {
  return std::make_unique<RemoteStore>(
      FarEnd{name, "look at what `umbra receive --listen` says over there", {}, std::move(line)});
}

}  // namespace umbra::stream
