// SPDX-License-Identifier: Apache-2.0
// umbra receive: the far end, on the host that holds a shadow's points or a primary's frozen files.
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>

#include "adapters/nbd/export.hpp"
#include "adapters/nbd/local_points.hpp"
#include "adapters/stream/stream.hpp"
#include "adapters/tls/listener.hpp"
#include "base/log.hpp"
#include "cmd/errors.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/guard.hpp"
#include "cmd/keepalive.hpp"
#include "cmd/session.hpp"
#include "cmd/verb.hpp"
#include "ports/delta.hpp"

namespace umbra::cmd {
namespace {

constexpr const char* usual_images = "/var/lib/libvirt/images";
constexpr unsigned usual_most = 8;
constexpr base::Seconds usual_idle{6 * 3600};

/// As typed; empty where it was not.
struct ReceiveOptions {
  bool session = false;
  std::string images;
  std::string into;
  std::optional<unsigned> retain;
  std::string file;
  std::string format;
  std::string bitmap;
  std::string above;
  std::string guard;
  std::vector<std::string> held_images;
  std::string end_guard;
  bool keepalive = false;
  std::string listen;
  model::TlsFiles tls;
  std::vector<std::string> allow;
  std::optional<unsigned> most;
  std::optional<base::Seconds> idle;
  unsigned seats() const { return most.value_or(usual_most); }
};

std::string images_of(const ReceiveOptions& options) {
  return options.images.empty() ? usual_images : options.images;
}

std::string folder_of(const ReceiveOptions& options) {
  if (options.into.empty()) return images_of(options);
  need_folder(options.into);
  return options.into;
}

/// The point is there, whatever comes of this.
void thin_out(Session& session, const ReceiveOptions& options, ports::PointStore& points,
              const stream::Received& received) {
  if (!options.retain) return;
  try {
    ports::thin_out(points, received.shadow, *options.retain);
  } catch (const base::Error& error) {
    session.cancel().check();
    base::log(base::Level::warning,
              fmt::format("receive: {}: merging the oldest points: {}\n  hint: {}", received.vm.get(), error.what(),
                          with_hint(error, "receive", received.vm.get()).hint()));
  }
}

/// One stream from standard input becomes one point; the result is a JSON line.
int receive_stream(Session& session, const ReceiveOptions& options) {
  nbd::LocalPoints points(folder_of(options), &session.cancel());
  const stream::Received received = stream::receive_one_way(points, STDIN_FILENO, &session.cancel());
  const model::PointInfo& point = received.point;
  // The sender is gone: what was written is read back by this end.
  ports::require_equal(points, received.shadow, received.vm, point.number);
  thin_out(session, options, points, received);
  session.out().json_line({{"point", point.number.value},
                           {"root", point.root.to_string()},
                           {"taken_at", base::to_rfc3339(point.taken_at)},
                           {"bytes", point.bytes.value},
                           {"layers", point.layers}});
  return exit_done;
}

/// One client of the listener, in a process of its own; its exit status.
int serve_client(const ReceiveOptions& options, const base::CancelToken& cancel, base::UniqueFd socket,
                 const std::string& peer, tls::Seat seat) {
  const auto say = [&](base::Level level, const std::string& what) {
    base::log(level, fmt::format("receive: {}: {}", peer, what));
  };
  try {
    const tls::Timing timing{.idle = std::chrono::ceil<base::Millis>(options.idle.value_or(usual_idle))};
    const tls::Client client = tls::accept(std::move(socket), options.tls, options.allow, timing, &cancel);
    if (!client.allowed) {
      const base::Error error(base::Kind::refused,
                              fmt::format("a client named {} is not let in", fmt::join(client.names, ", ")),
                              "over there: umbra receive --listen ... --allow NAME");
      say(base::Level::warning, fmt::format("refused: {}", error.what()));
      stream::refuse(*client.line, error);
      return exit_refused;
    }
    if (!seat.take(cancel)) {
      const base::Error error(
          base::Kind::timeout,
          fmt::format("as many clients as are served at a time ({}) were being served all along", options.seats()),
          "run it again later; or have more served over there: umbra receive --listen ... --most N");
      say(base::Level::warning, error.what());
      stream::refuse(*client.line, error);
      return exit_failed;
    }
    say(base::Level::debug, fmt::format("{} is let in", fmt::join(client.names, ", ")));
    nbd::LocalPoints points(folder_of(options), &cancel);
    points.confine();
    stream::serve(points, *client.line);
    return exit_done;
  } catch (const base::Error& error) {
    if (cancel.requested()) return exit_done;
    say(base::Level::warning,
        error.kind() == base::Kind::refused ? fmt::format("refused: {}", error.what()) : error.what());
    return exit_failed;
  }
}

int listen(Session& session, const ReceiveOptions& options) {
  const tls::Address address = base::parse_address(options.listen);
  tls::check_complete(options.tls, "--ca FILE --cert FILE --key FILE, or --key-file FILE");
  tls::check_files(options.tls);
  need_folder(folder_of(options));
  base::UniqueFd socket = tls::listen_at(address);
  session.out().json_line({{"listening", tls::local_address(socket.get())}});
  tls::serve_each(std::move(socket), {.most = options.seats()}, session.cancel(),
                  [&](base::UniqueFd client, const std::string& peer, tls::Seat seat) {
                    return serve_client(options, session.cancel(), std::move(client), peer, std::move(seat));
                  });
  session.cancel().check();  // a signal is what ends it
  return exit_done;
}

int guard(Session& session, const ReceiveOptions& options) {
  return guard_here(session, model::Uuid(options.guard), options.held_images);
}

int end_guard(Session& session, const ReceiveOptions& options) {
  end_guard_here(session, model::Uuid(options.end_guard));
  return exit_done;
}

int serve_session(Session& session, const ReceiveOptions& options) {
  nbd::LocalPoints points(images_of(options), &session.cancel());
  stream::serve(points, STDIN_FILENO, STDOUT_FILENO, &session.cancel());
  return exit_done;
}

int serve_file(Session& session, const ReceiveOptions& options) {
  ports::FileExport file;
  file.path = options.file;
  if (!options.format.empty()) file.format = options.format;
  if (!options.bitmap.empty()) file.bitmap = options.bitmap;
  if (!options.above.empty()) file.above = options.above;
  return nbd::serve_file(file, STDIN_FILENO, STDOUT_FILENO, session.cancel());
}

int tell_keepalive(Session& session, const ReceiveOptions&) {
  session.out().text(keepalive_answer() + "\n");
  return exit_done;
}

/// A way to be the far end.
struct Mode {
  std::string_view word;  ///< that asks for it
  bool asked;
  int (*run)(Session&, const ReceiveOptions&);
};

std::vector<Mode> modes_of(const Common& common, const ReceiveOptions& options) {
  return {{"-", is_piped(common), receive_stream},           {"--listen", !options.listen.empty(), listen},
          {"--session", options.session, serve_session},     {"--export", !options.file.empty(), serve_file},
          {"--guard", !options.guard.empty(), guard},        {"--end-guard", !options.end_guard.empty(), end_guard},
          {"--keepalive", options.keepalive, tell_keepalive}};
}

/// An option that was given, and the modes that look at it.
struct Use {
  std::string_view option;
  bool given;
  std::vector<std::string_view> with;
};

std::vector<Use> uses_of(const ReceiveOptions& o) {
  return {{"--images", !o.images.empty(), {"-", "--listen", "--session"}},
          {"--into", !o.into.empty(), {"-", "--listen"}},
          {"--retain", o.retain.has_value(), {"-"}},
          {"--format", !o.format.empty(), {"--export"}},
          {"--bitmap", !o.bitmap.empty(), {"--export"}},
          {"--above", !o.above.empty(), {"--export"}},
          {"--image", !o.held_images.empty(), {"--guard"}},
          {"--ca", !o.tls.ca.empty(), {"--listen"}},
          {"--cert", !o.tls.cert.empty(), {"--listen"}},
          {"--key", !o.tls.key.empty(), {"--listen"}},
          {"--crl", !o.tls.crl.empty(), {"--listen"}},
          {"--key-file", !o.tls.key_file.empty(), {"--listen"}},
          {"--allow", !o.allow.empty(), {"--listen"}},
          {"--most", o.most.has_value(), {"--listen"}},
          {"--idle", o.idle.has_value(), {"--listen"}}};
}

/// The mode that was asked for. Kind::usage where that is none, or several, or where something else that was given
/// would be passed by.
Mode mode_of(const Common& common, const ReceiveOptions& options) {
  const std::vector<Mode> modes = modes_of(common, options);
  std::string words;
  for (const Mode& mode : modes)
    words += fmt::format("{}{}", words.empty() ? "" : &mode == &modes.back() ? " and " : ", ", mode.word);
  if (std::ranges::count(modes, true, &Mode::asked) != 1)
    throw base::Error(base::Kind::usage, fmt::format("it takes one of {}", words),
                      "- reads one stream from standard input; the last five are started by umbra itself");
  const Mode mode = *std::ranges::find(modes, true, &Mode::asked);
  if (!common.operands.empty() && !is_piped(common))
    throw base::Error(base::Kind::usage,
                      fmt::format("\"{}\" has no meaning with {}", common.operands.front(), mode.word), "leave it out");
  for (const Use& use : uses_of(options)) {
    if (use.given && std::ranges::count(use.with, mode.word) == 0)
      throw base::Error(base::Kind::usage, fmt::format("{} has no meaning with {}", use.option, mode.word),
                        fmt::format("leave it out: it goes with {}", fmt::join(use.with, ", ")));
  }
  if (!options.into.empty() && !options.images.empty())
    throw base::Error(base::Kind::usage, "--into and --images exclude each other", "--into DIR is enough");
  return mode;
}

int run_receive(Session& session, const ReceiveOptions& options) {
  const Mode mode = mode_of(session.common(), options);
  keep_others_out();
  return mode.run(session, options);
}

}  // namespace

Verb receive_verb() {
  auto options = std::make_shared<ReceiveOptions>();
  Verb verb;
  verb.name = "receive";
  verb.summary = "Be the far end of replication on this host";
  verb.text =
      "Started by umbra on the other host through the host's `receive` command (ssh, for example). With - it takes a "
      "one-way\n"
      "stream from standard input into a new restore point. With --listen it serves clients over TLS 1.3 until it is "
      "ended "
      "by a signal, and tells its address as a JSON line; certificates, keys and revocations are read anew for each. A "
      "socket that systemd hands over is used in place of the address.";
  verb.operands = Operands::words;
  verb.options = {
      {"--session", "", "speak the two-way session on standard input and output", "", set_flag(options->session)},
      {"--images", "DIR", "the host's folder for disks", usual_images, set_text(options->images)},
      {"--into", "DIR", "with - and --listen: the folder that receives points", "that of --images",
       set_text(options->into)},
      {"--retain", "N", "with -: keep this many points", "all", set_count("--retain", options->retain, 1)},
      {"--export", "FILE", "serve this file read-only by NBD on standard input and output", "",
       set_text(options->file)},
      {"--format", "FORMAT", "with --export: its format", "qcow2", set_text(options->format)},
      {"--bitmap", "NAME", "with --export: offer this bitmap of it", "", set_text(options->bitmap)},
      {"--above", "FILE", "with --export: offer what lies above this file of its chain", "", set_text(options->above)},
      {"--guard", "UUID",
       "watch the migration of this VM away from here: cut what no longer answers, hold what was handed over", "",
       set_text(options->guard)},
      {"--image",
       "FILE",
       "with --guard: one that the guest writes to, and that is held; can be repeated",
       "",
       [options](const std::string& text) { options->held_images.push_back(text); },
       {},
       true},
      {"--end-guard", "UUID", "let this VM go on where a guard here holds it, and tell, as JSON, whether one did", "",
       set_text(options->end_guard)},
      {"--keepalive", "", "tell, as JSON, when libvirt here gives up a peer that fell silent", "",
       set_flag(options->keepalive)},
  };
  verb.options.push_back(
      {"--listen", "ADDRESS:PORT", "serve over TLS there; port 0 is any that is free", "", set_text(options->listen)});
  for (Option& option : tls_options(options->tls, "with --listen")) verb.options.push_back(std::move(option));
  const std::vector<Option> more{
      {"--allow",
       "NAME",
       "with --listen: let in only clients whose certificate or key bears this name; can be repeated",
       "all that the CA knows",
       [options](const std::string& text) { options->allow.push_back(text); },
       {},
       true},
      {"--most", "N", "with --listen: serve so many at a time, further ones wait", "8",
       set_count("--most", options->most, 1)},
      {"--idle", "DURATION", "with --listen: give up a client that is silent for so long", "6h",
       set_duration("--idle", options->idle)},
  };
  verb.options.insert(verb.options.end(), more.begin(), more.end());
  verb.examples = {"umbra receive --listen [::]:7900 --into /srv/points --ca ca.pem --cert beta.pem --key beta.key",
                   "ssh beta umbra receive --into /var/lib/libvirt/images - < point.stream"};
  verb.run = [options](Session& session) { return run_receive(session, *options); };
  return verb;
}

}  // namespace umbra::cmd
