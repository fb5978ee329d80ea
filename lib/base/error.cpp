// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"

#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

namespace umbra::base {
namespace {

constexpr std::array<std::pair<Kind, std::string_view>, 14> kind_names{{
    {Kind::usage, "usage"},
    {Kind::invalid, "invalid"},
    {Kind::not_found, "not_found"},
    {Kind::unreachable, "unreachable"},
    {Kind::refused, "refused"},
    {Kind::busy, "busy"},
    {Kind::no_space, "no_space"},
    {Kind::corrupt, "corrupt"},
    {Kind::unsupported, "unsupported"},
    {Kind::timeout, "timeout"},
    {Kind::cancelled, "cancelled"},
    {Kind::interrupted, "interrupted"},
    {Kind::io, "io"},
    {Kind::internal, "internal"},
}};

}  // namespace

std::string_view to_string(Kind kind) {
  for (const auto& [value, name] : kind_names) {
    if (value == kind) return name;
  }
  return "internal";
}

Kind kind_from_string(std::string_view name) {
  for (const auto& [value, known] : kind_names) {
    if (known == name) return value;
  }
  return Kind::internal;
}

Error::Error(Kind kind, std::string message, std::string hint)
    : m_kind(kind), m_message(std::move(message)), m_hint(std::move(hint)) {
  render();
}

Error& Error::add_context(std::string context) {
  m_context.push_back(std::move(context));
  render();
  return *this;
}

Error& Error::set_hint(std::string hint) {
  m_hint = std::move(hint);
  return *this;
}

Error& Error::add_consequence(const std::string& text) {
  m_message += "; taking it back failed too: " + text;
  render();
  return *this;
}

void Error::render() {
  m_what.clear();
  for (auto it = m_context.rbegin(); it != m_context.rend(); ++it) m_what += *it + ": ";
  m_what += m_message;
}

Error defect(const std::exception& failure) {
  return Error(Kind::internal, std::string("a defect of umbra: ") + failure.what());
}

namespace {

/// What to do about it; empty where the number does not tell.
const char* hint_of(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      return "free space on that file system, then run the command again";
    case ENOENT:
      return "look whether it is there, spelled so: ls -ld on it, and on its folder";
    case EACCES:
    case EPERM:
      return "look who may: namei -l on it; run the command as that user, or as root";
    case EROFS:
      return "its file system is mounted read-only: look why (dmesg), and mount it writable";
    case ENOTDIR:
      return "a part of that path is a file and no folder: look at it with namei -l";
    case EISDIR:
      return "it is a folder: name a file";
    case ELOOP:
      return "symbolic links on that path lead round in a circle: look at it with namei -l";
    case ENAMETOOLONG:
      return "choose a shorter name, or a folder nearer to /";
    case EMFILE:
    case ENFILE:
      return "allow more open files (ulimit -n), then run the command again";
    default:
      return "";
  }
}

Error with_kind_of(int error_number, std::string message) {
  const bool full = error_number == ENOSPC || error_number == EDQUOT;
  const bool absent = error_number == ENOENT;
  const Kind kind = full ? Kind::no_space : absent ? Kind::not_found : Kind::io;
  return Error(kind, std::move(message), hint_of(error_number));
}

}  // namespace

Error from_errno(int error_number, std::string_view what) {
  return with_kind_of(error_number, std::string(what) + ": " + std::generic_category().message(error_number));
}

Error from_system(const std::system_error& failure) {
  const int number = failure.code().value();
  const auto* of_files = dynamic_cast<const std::filesystem::filesystem_error*>(&failure);
  if (of_files == nullptr) return with_kind_of(number, failure.what());
  // Its own what() begins with the class of the exception, and has the paths in brackets behind the reason.
  std::string act = of_files->std::system_error::what();
  const std::string reason = ": " + failure.code().message();
  if (act.ends_with(reason)) act.resize(act.size() - reason.size());
  if (!of_files->path1().empty()) act += " " + of_files->path1().string();
  if (!of_files->path2().empty()) act += ", " + of_files->path2().string();
  return with_kind_of(number, act + reason);
}

}  // namespace umbra::base
