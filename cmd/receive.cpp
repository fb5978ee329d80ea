// SPDX-License-Identifier: Apache-2.0
// umbra receive: the far end, on the host that holds a shadow's points or a primary's frozen files.
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "adapters/nbd/export.hpp"
#include "adapters/nbd/local_points.hpp"
#include "adapters/procfs/move_guard.hpp"
#include "adapters/stream/stream.hpp"
#include "adapters/tls/listener.hpp"
#include "base/log.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/keepalive.hpp"
#include "cmd/session.hpp"
#include "cmd/verb.hpp"
#include "ports/delta.hpp"

namespace umbra::cmd {
namespace {

struct ReceiveOptions {
  bool session = false;
  std::string images = "/var/lib/libvirt/images";
  std::string into;
  std::optional<unsigned> retain;
  ports::FileExport file;
  std::string bitmap;
  std::string above;
  std::string guard;
  bool keepalive = false;
  std::string listen;
  model::TlsFiles tls;
  std::vector<std::string> allow;
  unsigned most = 8;
  base::Seconds idle{6 * 3600};
};

std::string folder_of(const ReceiveOptions& options) {
  if (options.into.empty()) return options.images;
  need_folder(options.into);
  return options.into;
}

/// One stream from standard input becomes one point; the result is a JSON line.
int receive_stream(Session& session, const ReceiveOptions& options) {
  nbd::LocalPoints points(folder_of(options), &session.cancel());
  const stream::Received received = stream::receive_one_way(points, STDIN_FILENO);
  const model::PointInfo& point = received.point;
  // The sender is gone: what was written is read back by this end.
  ports::require_equal(points, received.shadow, received.vm, point.number);
  if (options.retain) ports::thin_out(points, received.shadow, *options.retain);
  session.out().json_line({{"point", point.number.value},
                           {"root", point.root.to_string()},
                           {"taken_at", base::to_rfc3339(point.taken_at)},
                           {"bytes", point.bytes.value},
                           {"layers", point.layers}});
  return exit_done;
}

/// One client of the listener, in a process of its own; its exit status.
int serve_client(const ReceiveOptions& options, const base::CancelToken& cancel, base::UniqueFd socket,
                 const std::string& peer) {
  const auto say = [&](base::Level level, const std::string& what) {
    base::log(level, fmt::format("receive: {}: {}", peer, what));
  };
  try {
    const tls::Timing timing{.idle = std::chrono::ceil<base::Millis>(options.idle)};
    const tls::Client client = tls::accept(std::move(socket), options.tls, options.allow, timing, &cancel);
    if (!client.allowed) {
      const base::Error error(base::Kind::refused,
                              fmt::format("a client named {} is not let in", fmt::join(client.names, ", ")),
                              "over there: umbra receive --listen ... --allow NAME");
      say(base::Level::warning, fmt::format("refused: {}", error.what()));
      stream::refuse(*client.line, error);
      return exit_refused;
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
  const tls::Address address = tls::parse_address(options.listen);
  tls::check_complete(options.tls, "--ca FILE --cert FILE --key FILE, or --key-file FILE");
  tls::check_files(options.tls);
  need_folder(folder_of(options));
  base::UniqueFd socket = tls::listen_at(address);
  session.out().json_line({{"listening", tls::local_address(socket.get())}});
  tls::serve_each(std::move(socket), options.most, session.cancel(),
                  [&](base::UniqueFd client, const std::string& peer) {
                    return serve_client(options, session.cancel(), std::move(client), peer);
                  });
  session.cancel().check();  // a signal is what ends it
  return exit_done;
}

/// Whoever started this waits for the first byte.
int guard(Session& session, const model::Uuid& vm) {
  procfs::guard_move({.vm = vm, .owner_fd = STDIN_FILENO}, session.cancel(), session.clock(),
                     [] { base::write_all(STDOUT_FILENO, std::string_view("+\n"), "standard output"); });
  return exit_done;
}

int run_receive(Session& session, ReceiveOptions& options) {
  const bool piped = is_piped(session.common());
  const bool listening = !options.listen.empty();
  const bool guarding = !options.guard.empty();
  const int modes = int(options.session) + int(!options.file.path.empty()) + int(piped) + int(listening) +
                    int(guarding) + int(options.keepalive);
  if (modes != 1) {
    throw base::Error(base::Kind::usage, "it takes one of -, --listen, --session, --export, --guard and --keepalive",
                      "- reads one stream from standard input; the last four are started by umbra itself");
  }
  if (!listening && (options.tls.given() || !options.allow.empty()))
    throw base::Error(base::Kind::usage, "certificates, keys and --allow go with --listen",
                      "add --listen ADDRESS:PORT");
  ::umask(S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH);  // disks are for root, and for whom libvirt hands them to
  if (piped) return receive_stream(session, options);
  if (listening) return listen(session, options);
  if (guarding) return guard(session, model::Uuid(options.guard));
  if (options.keepalive) {
    session.out().text(keepalive_answer() + "\n");
    return exit_done;
  }
  if (options.session) {
    nbd::LocalPoints points(options.images, &session.cancel());
    stream::serve(points, STDIN_FILENO, STDOUT_FILENO);
    return exit_done;
  }
  if (!options.bitmap.empty()) options.file.bitmap = options.bitmap;
  if (!options.above.empty()) options.file.above = options.above;
  return nbd::serve_file(options.file, STDIN_FILENO, STDOUT_FILENO);
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
      {"--images", "DIR", "the host's folder for disks", "/var/lib/libvirt/images", set_text(options->images)},
      {"--into", "DIR", "with - and --listen: the folder that receives points", "that of --images",
       set_text(options->into)},
      {"--retain", "N", "with -: keep this many points", "all", set_count("--retain", options->retain, 1)},
      {"--export", "FILE", "serve this file read-only by NBD on standard input and output", "",
       set_text(options->file.path)},
      {"--format", "FORMAT", "with --export: its format", "qcow2", set_text(options->file.format)},
      {"--bitmap", "NAME", "with --export: offer this bitmap of it", "", set_text(options->bitmap)},
      {"--above", "FILE", "with --export: offer what lies above this file of its chain", "", set_text(options->above)},
      {"--guard", "UUID", "watch the migration of this VM away from here: cut what no longer answers", "",
       set_text(options->guard)},
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
       [options](const std::string& text) {
         std::optional<unsigned> most;
         set_count("--most", most, 1)(text);
         options->most = *most;
       }},
      {"--idle", "DURATION", "with --listen: give up a client that is silent for so long", "6h",
       [options](const std::string& text) {
         std::optional<base::Seconds> idle;
         set_duration("--idle", idle)(text);
         options->idle = *idle;
       }},
  };
  verb.options.insert(verb.options.end(), more.begin(), more.end());
  verb.examples = {"umbra receive --listen [::]:7900 --into /srv/points --ca ca.pem --cert beta.pem --key beta.key",
                   "ssh beta umbra receive --into /var/lib/libvirt/images - < point.stream"};
  verb.run = [options](Session& session) { return run_receive(session, *options); };
  return verb;
}

}  // namespace umbra::cmd
