// SPDX-License-Identifier: Apache-2.0
#pragma once
// The few things that this folder's readers and editors of XML share.

#include <pugixml.hpp>
#include <string>

namespace umbra::virt {

/// Kind::invalid where `text` is no XML or its root is not `root`.
pugi::xml_document load_xml(const std::string& text, const char* root);
std::string to_text(const pugi::xml_node& node);

/// A disk that the guest can write to and Umbra takes care of.
bool is_writable_disk(const pugi::xml_node& disk);
/// The path of a <source>, whatever kind of storage it names; empty for none.
std::string source_path(const pugi::xml_node& source);
/// The attribute of an interface's <source> that names its network; empty attribute for none.
pugi::xml_attribute network_of(const pugi::xml_node& interface);
/// Umbra's element in <metadata>; an empty node for none.
pugi::xml_node find_tag(const pugi::xml_node& domain);

}  // namespace umbra::virt
