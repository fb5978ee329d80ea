// SPDX-License-Identifier: Apache-2.0
// The far end of a session: requests in, acts on the store, answers out.

#include <fmt/core.h>

#include <array>
#include <functional>

#include "adapters/stream/arrivals.hpp"
#include "adapters/stream/block_codec.hpp"
#include "adapters/stream/kept.hpp"
#include "adapters/stream/messages.hpp"
#include "adapters/stream/stream.hpp"
#include "base/text.hpp"

namespace umbra::stream {
namespace {

using base::Error;
using base::Kind;

/// Bytes that break FORMAT.md: the session can't go on.
[[noreturn]] void violation(const char* what) {
  throw Error(Kind::corrupt, what);
}

model::ShadowId shadow_of(const json& request) {
  return model::ShadowId(request.at("shadow").get<std::string>());
}
model::VmName vm_of(const json& request) {
  return model::VmName(request.at("vm").get<std::string>());
}
model::PointNumber point_of(const json& request) {
  return {number_from(request.at("point"))};
}
std::string text_of(const json& request, const char* field) {
  return request.at(field).get<std::string>();
}

class Session {
 public:
  Session(ports::PointStore& store, base::Line& line) : m_store(store), m_in(line), m_out(line) {}

  void run() {
    m_out.preamble(StreamKind::session);
    m_out.flush();
    m_in.preamble(StreamKind::session);
    while (const std::optional<Frame> frame = m_in.next()) {
      if (frame->type != FrameType::request) violation("a frame came that has no place between two requests");
      handle(std::string(frame->text()));
    }
  }

 private:
  void handle(const std::string& text) {
    json request;
    const bool understood = answered([&] { request = parse_request(text); });
    if (!understood) return;
    const json op = request.value("op", json());
    if (op == "begin")
      receive_point(request);
    else if (op == "adopt")
      adopt(request);
    else if (op == "manifest")
      send_manifest(request);
    else if (op == "examine")
      examine(request);
    else
      answered([&] { reply(reading([&] { return act(op, request); })); });
  }

  json act(const json& op, const json& r) {
    if (op == "create") return {{"paths", to_json(m_store.create(shadow_of(r), vm_of(r), parts_from(r.at("disks"))))}};
    if (op == "claim")
      return {{"paths", to_json(m_store.claim(model::ShadowId(text_of(r, "from")), model::ShadowId(text_of(r, "to")),
                                              vm_of(r), parts_from(r.at("disks"))))}};
    if (op == "drop") return none([&] { m_store.drop(shadow_of(r)); });
    if (op == "drop_with_adopted") return none([&] { m_store.drop_with_adopted(shadow_of(r)); });
    if (op == "take_back") return none([&] { m_store.take_back(shadow_of(r)); });
    if (op == "shadows") return shadows();
    if (op == "points") return points(shadow_of(r));
    if (op == "activity") return {{"activity", m_store.activity(shadow_of(r), point_of(r))}};
    if (op == "verify") return to_json(m_store.verify(shadow_of(r), point_of(r), verify_from(text_of(r, "what"))));
    if (op == "retain") return {{"merged", m_store.retain(shadow_of(r), keep_from(r.at("keep")))}};
    if (op == "export_point") return {{"files", m_store.export_point(shadow_of(r), point_of(r), text_of(r, "target"))}};
    if (op == "raise_top")
      return {{"paths", to_json(m_store.raise_top(shadow_of(r), point_of(r), text_of(r, "purpose")))}};
    if (op == "drop_top") return none([&] { m_store.drop_top(shadow_of(r), text_of(r, "purpose")); });
    if (op == "remove_made") return none([&] { m_store.remove_made(text_of(r, "path")); });
    if (op == "chain") return {{"files", m_store.chain(text_of(r, "path"))}};
    if (op == "stamp") return to_json(m_store.stamp(text_of(r, "path")));
    if (op == "free_space") return {{"bytes", m_store.free_space().value}};
    throw Error(Kind::unsupported, fmt::format("the far end knows no request {}", base::shown(op.dump())),
                "install the same version of Umbra on both hosts");
  }

  json shadows() {
    json ids = json::array();
    for (const model::ShadowId& id : m_store.shadows()) ids.push_back(id.get());
    return {{"shadows", ids}};
  }

  json points(const model::ShadowId& shadow) {
    json infos = json::array();
    for (const model::PointInfo& info : m_store.points(shadow)) infos.push_back(to_json(info));
    return {{"points", infos}};
  }

  void send_manifest(const json& request) {
    model::Manifest manifest;
    const bool found =
        answered([&] { manifest = reading([&] { return m_store.manifest(shadow_of(request), point_of(request)); }); });
    if (!found) return;
    std::vector<model::Part> parts;
    for (const model::PartManifest& part : manifest.parts) parts.push_back(part.part);
    m_out.frame(FrameType::reply, dump({{"parts", to_json(parts)}, {"pages", pages_of(manifest)}}));
    write_digests(m_out, manifest);
    m_out.flush();
  }

  void examine(const json& request) {
    model::Ground ground;
    if (!answered([&] { ground = m_store.examine(reading([&] { return shadow_of(request); })); })) return;
    json told = to_json(ground);
    told["pages"] = ground.found ? pages_of(*ground.found) : 0;
    m_out.frame(FrameType::reply, dump(told));
    if (ground.found) write_digests(m_out, *ground.found);
    m_out.flush();
  }

  void adopt(const json& r) {
    // Without knowing the parts it can't be known where the digests end: a wrong form ends the session.
    ports::AdoptRequest request;
    request.manifest = read_digests(m_in, reading([&] { return parts_from(r.at("parts")); }), pages_from(r));
    answered([&] {
      reading([&] {
        request.shadow = shadow_of(r);
        request.vm = vm_of(r);
        request.number = point_number_from(r.at("number"));
        request.taken_at = instant_from(r.at("taken_at"));
        request.layers = paths_from(r.at("layers"));
        return 0;
      });
      m_store.adopt(request);
      reply(json::object());
    });
  }

  /// From begin's reply to the point's one answer.
  void receive_point(const json& request) {
    std::unique_ptr<ports::BlockSink> sink;
    const bool open = answered([&] {
      sink = m_store.begin(header_from(request));
      const Kept kept = sink->kept();
      m_out.frame(FrameType::reply, dump({{"kept", runs_in(kept)}}));
      write_kept(m_out, kept);
      m_out.flush();
    });
    if (!open) return;
    Arrivals arrivals;
    bool failed = false;
    for (;;) {
      if (!failed) failed = !answered([&] { or_drop(sink, [&] { arrivals.before_next(m_in, *sink); }); });
      const std::optional<Frame> next = failed ? next_if_whole() : next_or_keep(arrivals, *sink);
      if (!next) return;  // it was told why the point failed, and left
      const Frame& frame = *next;
      switch (frame.type) {
        case FrameType::block:
        case FrameType::zero:
          if (failed) break;
          failed = !answered([&] { or_drop(sink, [&] { arrivals.take(frame, m_in, *sink); }); });
          break;
        case FrameType::trailer:
          if (!failed) answered([&] { reply(commit(sink, arrivals, Cursor(frame.payload).digest())); });
          return;
        case FrameType::abort:
          if (!failed) keep(arrivals, *sink);
          sink.reset();
          if (!failed) reply(json::object());
          return;
        default:
          violation("a frame came that has no place within a point");
      }
    }
  }

  /// What came goes to the sink, for a later pass to build on. Where it can't be taken, that is sent again.
  static void keep(Arrivals& arrivals, ports::BlockSink& sink) {
    try {
      base::as_error([&] { arrivals.flush(sink); });
    } catch (const Error&) {
      // The point was given up already, for a reason of its own.
    }
  }

  /// The next frame. Where the stream is cut, what came before is kept.
  std::optional<Frame> next_or_keep(Arrivals& arrivals, ports::BlockSink& sink) {
    try {
      return m_in.require();
    } catch (...) {
      keep(arrivals, sink);
      throw;
    }
  }

  /// The next frame; nothing where the stream ends, even within one.
  std::optional<Frame> next_if_whole() {
    try {
      return m_in.next();
    } catch (const Error&) {
      return std::nullopt;
    }
  }

  /// A point that fails is dropped before the client hears of it: its space and its lock are free by then.
  template <class Act>
  static auto or_drop(std::unique_ptr<ports::BlockSink>& sink, Act&& act) -> decltype(act()) {
    try {
      return act();
    } catch (...) {
      sink.reset();
      throw;
    }
  }

  static json commit(std::unique_ptr<ports::BlockSink>& sink, Arrivals& arrivals, const base::Digest& changes) {
    return or_drop(sink, [&] {
      arrivals.flush(*sink);
      return to_json(sink->commit(changes));
    });
  }

  static json none(const std::function<void()>& what) {
    what();
    return json::object();
  }

  void reply(const json& value) {
    m_out.frame(FrameType::reply, dump(value));
    m_out.flush();
  }

  /// Runs `what`; a failure is told to the client as the answer. False where it failed.
  bool answered(const std::function<void()>& what) {
    try {
      what();
      return true;
    } catch (const Error& e) {
      tell(e);
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::system_error& e) {
      tell(base::from_system(e));
    } catch (const std::exception& e) {
      tell(Error(Kind::io, e.what()));
    }
    return false;
  }

  void tell(const Error& error) {
    m_out.frame(FrameType::error, dump(to_json(error)));
    m_out.flush();
  }

  ports::PointStore& m_store;
  FrameReader m_in;
  FrameWriter m_out;
};

}  // namespace

void serve(ports::PointStore& store, int in_fd, int out_fd, const base::CancelToken* cancel) {
  widen_pipe(in_fd);
  base::FdLine line(in_fd, out_fd, cancel);
  serve(store, line);
}

void serve(ports::PointStore& store, base::Line& line) {
  Session(store, line).run();
}

void refuse(base::Line& line, const Error& error) {
  FrameWriter out(line);
  out.preamble(StreamKind::session);
  out.frame(FrameType::error, dump(to_json(error)));
  out.flush();
  line.end();
  // Closed with bytes unread, the connection would be reset, and these words be lost on their way.
  std::array<std::byte, 65536> last{};
  line.read_full(last);
}

}  // namespace umbra::stream
