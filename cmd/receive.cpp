// SPDX-License-Identifier: Apache-2.0
// umbra receive: the far end, on the host that holds a shadow's points or a primary's frozen files.
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "adapters/nbd/export.hpp"
#include "adapters/nbd/local_points.hpp"
#include "adapters/stream/stream.hpp"
#include "cmd/exit_status.hpp"
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
};

std::string folder_of(const ReceiveOptions& options) {
  if (options.into.empty()) return options.images;
  need_folder(options.into);
  return options.into;
}

/// One stream from standard input becomes one point; the result is a JSON line.
int receive_stream(Session& session, const ReceiveOptions& options) {
  nbd::LocalPoints points(folder_of(options));
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

int run_receive(Session& session, ReceiveOptions& options) {
  const bool piped = is_piped(session.common());
  const int modes = int(options.session) + int(!options.file.path.empty()) + int(piped);
  if (modes != 1) {
    throw base::Error(base::Kind::usage, "it takes one of -, --session and --export",
                      "- reads one stream from standard input; the others are started by umbra itself");
  }
  ::umask(S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH);  // disks are for root, and for whom libvirt hands them to
  if (piped) return receive_stream(session, options);
  if (options.session) {
    nbd::LocalPoints points(options.images);
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
      "stream from standard input into a new restore point.";
  verb.operands = Operands::words;
  verb.options = {
      {"--session", "", "speak the two-way session on standard input and output", "", set_flag(options->session)},
      {"--images", "DIR", "the host's folder for disks", "/var/lib/libvirt/images", set_text(options->images)},
      {"--into", "DIR", "with -: the folder that receives the point", "that of --images", set_text(options->into)},
      {"--retain", "N", "with -: keep this many points", "all", set_count("--retain", options->retain, 1)},
      {"--export", "FILE", "serve this file read-only by NBD on standard input and output", "",
       set_text(options->file.path)},
      {"--format", "FORMAT", "with --export: its format", "qcow2", set_text(options->file.format)},
      {"--bitmap", "NAME", "with --export: offer this bitmap of it", "", set_text(options->bitmap)},
      {"--above", "FILE", "with --export: offer what lies above this file of its chain", "", set_text(options->above)},
  };
  verb.examples = {"ssh beta umbra receive --into /var/lib/libvirt/images - < point.stream"};
  verb.run = [options](Session& session) { return run_receive(session, *options); };
  return verb;
}

}  // namespace umbra::cmd
