// SPDX-License-Identifier: Apache-2.0
#include "common/spec/yaml.h"

#include <algorithm>
#include <optional>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/spec/forms.h"
#include "common/spec/nearest.h"
#include "common/spec/scalar.h"
#include "common/utf8.h"
#include "yaml-cpp/anchor.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/yaml.h"

namespace npufleet::spec {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::OneofDescriptor;

constexpr size_t kLargestText = 1 << 20;
constexpr size_t kMostProblems = 20;
constexpr int kMostNodes = 100'000;  // aliases count each time that they are used

struct Problem {
  Position position;
  std::string message;
};

Position PositionOf(const YAML::Mark& mark) {
  if (mark.is_null()) return {};
  return {mark.line + 1, mark.column + 1};
}

std::string KindOf(const YAML::Node& node) {
  if (node.IsMap()) return "a mapping (key: value)";
  if (node.IsSequence()) return "a list";
  if (node.IsNull()) return "nothing";
  return absl::StrCat("\"", node.Scalar().substr(0, 60), "\"", IndentationHint(node.Scalar()));
}

std::string Child(std::string_view path, std::string_view name) {
  return path.empty() ? std::string(name) : absl::StrCat(std::string(path), ".", std::string(name));
}

std::vector<std::string> JsonNames(const Descriptor& descriptor) {
  std::vector<std::string> names;
  for (int i = 0; i < descriptor.field_count(); ++i) {
    names.push_back(descriptor.field(i)->json_name());
  }
  return names;
}

const FieldDescriptor* FieldOf(const Descriptor& descriptor, std::string_view json_name) {
  for (int i = 0; i < descriptor.field_count(); ++i) {
    if (descriptor.field(i)->json_name() == json_name) return descriptor.field(i);
  }
  return nullptr;
}

// Walks the document and the message's type together. One object reads one document.
class Reader {
 public:
  explicit Reader(Positions* positions) : positions_(positions) {}

  void ReadMessage(const YAML::Node& node, const std::string& path, Message* message);
  void Add(Position position, std::string text) {
    if (problems_.size() <= kMostProblems) problems_.push_back({position, std::move(text)});
  }
  const std::vector<Problem>& problems() const { return problems_; }

 private:
  void ReadField(const YAML::Node& node, const std::string& path, const FieldDescriptor& field,
                 Message* message);
  void ReadValue(const YAML::Node& node, const std::string& path, const FieldDescriptor& field,
                 Message* message);
  void ReadMap(const YAML::Node& node, const std::string& path, const FieldDescriptor& field,
               Message* message);
  void ReadList(const YAML::Node& node, const std::string& path, const FieldDescriptor& field,
                Message* message);
  bool KeyIsNew(const YAML::Node& key, const std::string& path, std::set<std::string>* seen);
  std::string UnknownField(const std::string& name, const std::string& path) const;
  bool TooMuch(const YAML::Node& node);

  Positions* const positions_;
  std::vector<Problem> problems_;
  int nodes_ = 0;
  // The messages around the one being read, outermost first: where a field that is indented
  // wrongly may belong.
  std::vector<std::pair<std::string, const Descriptor*>> around_;
};

bool Reader::TooMuch(const YAML::Node& node) {
  if (++nodes_ < kMostNodes) return false;
  if (nodes_ == kMostNodes) Add(PositionOf(node.Mark()), "the document is too large");
  return true;
}

bool Reader::KeyIsNew(const YAML::Node& key, const std::string& path, std::set<std::string>* seen) {
  if (!key.IsScalar()) {
    Add(PositionOf(key.Mark()), absl::StrCat("a key must be a name, not ", KindOf(key)));
    return false;
  }
  if (!seen->insert(key.Scalar()).second) {
    Add(PositionOf(key.Mark()),
        absl::StrCat("duplicate key \"", key.Scalar(), "\"", path.empty() ? "" : " in ", path));
    return false;
  }
  return true;
}

std::string Reader::UnknownField(const std::string& name, const std::string& path) const {
  std::string text = absl::StrCat("unknown field \"", name.substr(0, 60), "\"",
                                  path.empty() ? "" : absl::StrCat(" in ", path));
  const Descriptor& here = *around_.back().second;
  std::string nearest = Nearest(name, JsonNames(here));
  // A name that is right elsewhere around is an indentation mistake, unless this place has one that
  // is spelt nearly so.
  for (size_t i = around_.size() - 1; i-- > 0;) {
    if (FieldOf(*around_[i].second, name) == nullptr) continue;
    return absl::StrCat(text, "; it belongs to ",
                        around_[i].first.empty() ? "the top level" : around_[i].first,
                        ": check the indentation");
  }
  if (!nearest.empty()) return absl::StrCat(text, "; did you mean \"", nearest, "\"?");
  for (int i = 0; i < here.field_count(); ++i) {
    const FieldDescriptor& field = *here.field(i);
    if (field.message_type() == nullptr || field.is_map() || field.is_repeated()) continue;
    if (FieldOf(*field.message_type(), name) != nullptr) {
      return absl::StrCat(text, "; it belongs to ", Child(path, field.json_name()));
    }
  }
  return absl::StrCat(text, "; known are ", absl::StrJoin(JsonNames(here), ", "));
}

void Reader::ReadMessage(const YAML::Node& node, const std::string& path, Message* message) {
  if (TooMuch(node)) return;
  if (!node.IsMap()) {
    Add(PositionOf(node.Mark()), absl::StrCat(path.empty() ? "the document" : path,
                                              " needs a mapping (key: value), not ", KindOf(node)));
    return;
  }
  const Descriptor& descriptor = *message->GetDescriptor();
  around_.emplace_back(path, &descriptor);
  std::set<std::string> seen;
  std::map<const OneofDescriptor*, std::string> chosen;
  for (const auto& entry : node) {
    if (!KeyIsNew(entry.first, path, &seen)) continue;
    const std::string& name = entry.first.Scalar();
    Position position = PositionOf(entry.first.Mark());
    const FieldDescriptor* field = FieldOf(descriptor, name);
    if (field == nullptr) {
      Add(position, UnknownField(name, path));
      continue;
    }
    if (const OneofDescriptor* oneof = field->real_containing_oneof()) {
      auto [choice, is_first] = chosen.emplace(oneof, name);
      if (!is_first) {
        Add(position, absl::StrCat(path, " has both \"", choice->second, "\" and \"", name,
                                   "\"; keep one of them"));
        continue;
      }
    }
    std::string child = Child(path, name);
    if (positions_ != nullptr) positions_->emplace(child, position);
    ReadField(entry.second, child, *field, message);
  }
  around_.pop_back();
}

void Reader::ReadField(const YAML::Node& node, const std::string& path,
                       const FieldDescriptor& field, Message* message) {
  if (TooMuch(node)) return;
  if (node.IsNull()) {
    Add(PositionOf(node.Mark()),
        absl::StrCat(path, " has no value; give it one or remove the line"));
  } else if (field.is_map()) {
    ReadMap(node, path, field, message);
  } else if (field.is_repeated()) {
    ReadList(node, path, field, message);
  } else {
    ReadValue(node, path, field, message);
  }
}

void Reader::ReadMap(const YAML::Node& node, const std::string& path, const FieldDescriptor& field,
                     Message* message) {
  if (!node.IsMap()) {
    Add(PositionOf(node.Mark()),
        absl::StrCat(path, " needs a mapping (key: value), not ", KindOf(node)));
    return;
  }
  const FieldDescriptor& key_field = *field.message_type()->map_key();
  const FieldDescriptor& value_field = *field.message_type()->map_value();
  std::set<std::string> seen;
  for (const auto& entry : node) {
    if (!KeyIsNew(entry.first, path, &seen)) continue;
    Position position = PositionOf(entry.first.Mark());
    std::string child = absl::StrCat(path, "[\"", entry.first.Scalar(), "\"]");
    if (positions_ != nullptr) positions_->emplace(child, position);
    Message* pair = message->GetReflection()->AddMessage(message, &field);
    absl::Status key_status = SetScalar({entry.first.Scalar(), false}, key_field, pair);
    if (!key_status.ok()) Add(position, absl::StrCat("key of ", path, " ", key_status.message()));
    ReadField(entry.second, child, value_field, pair);
  }
}

void Reader::ReadList(const YAML::Node& node, const std::string& path, const FieldDescriptor& field,
                      Message* message) {
  if (!node.IsSequence()) {
    Add(PositionOf(node.Mark()), absl::StrCat(path, " needs a list (- item), not ", KindOf(node)));
    return;
  }
  int index = 0;
  for (const auto& item : node) {
    if (TooMuch(item)) return;
    std::string child = absl::StrCat(path, "[", index++, "]");
    if (positions_ != nullptr) positions_->emplace(child, PositionOf(item.Mark()));
    if (item.IsNull()) {
      Add(PositionOf(item.Mark()), absl::StrCat(child, " has no value"));
      continue;
    }
    ReadValue(item, child, field, message);
  }
}

// A singular field, or one more item of a repeated one.
void Reader::ReadValue(const YAML::Node& node, const std::string& path,
                       const FieldDescriptor& field, Message* message) {
  bool is_message = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
  if (is_message && !IsScalarMessage(*field.message_type())) {
    const auto& reflection = *message->GetReflection();
    ReadMessage(node, path,
                field.is_repeated() ? reflection.AddMessage(message, &field)
                                    : reflection.MutableMessage(message, &field));
    return;
  }
  if (!node.IsScalar()) {
    Add(PositionOf(node.Mark()), absl::StrCat(path, " needs one value, not ", KindOf(node)));
    return;
  }
  absl::Status status = SetScalar({node.Scalar(), node.Tag() == "!"}, field, message);
  if (!status.ok()) {
    Add(PositionOf(node.Mark()),
        absl::StrCat(path, " ", status.message(), IndentationHint(node.Scalar())));
  }
}

// yaml-cpp takes some tabs and reads another structure than the eye does.
void FindTabs(std::string_view text, Reader* reader) {
  int line_number = 0;
  for (absl::string_view line : absl::StrSplit(absl::string_view(text.data(), text.size()), '\n')) {
    ++line_number;
    size_t start = line.find_first_not_of(" \t\r");
    size_t tab = line.find('\t');
    if (start == absl::string_view::npos || line[start] == '#' || tab > start) continue;
    reader->Add({line_number, static_cast<int>(tab) + 1},
                "a tab in the indentation; YAML wants spaces");
  }
}

// Where the documents of a text begin: of the first two, since more are of no use and yaml-cpp 0.7
// finds them without end in a text with a "," outside of brackets.
class DocumentStarts : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override { starts_.push_back(mark); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

  static std::vector<YAML::Mark> In(const std::string& text) {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    DocumentStarts documents;
    while (documents.starts_.size() < 2 && parser.HandleNextDocument(documents)) {
    }
    return documents.starts_;
  }

 private:
  std::vector<YAML::Mark> starts_;
};

// yaml-cpp's words, for those who did not write it.
std::string SyntaxMessage(std::string_view words) {
  static constexpr std::pair<std::string_view, std::string_view> kMeanings[] = {
      {"illegal map value", "a \": \" where none can be: check the indentation and the quotes"},
      {"end of map not found", "bad indentation: this line fits no mapping above it"},
      {"end of sequence not found", "bad indentation: this line fits no list above it"},
      {"illegal block entry", "a \"- \" where no list item can be: check the indentation"},
      {"end of map flow not found", "a \"{\" without its \"}\""},
      {"end of sequence flow not found", "a \"[\" without its \"]\""},
      {"illegal flow end", "a \"}\" or \"]\" without its beginning"},
      {"illegal EOF in scalar", "a quote that is not closed"},
      {"illegal map key", "a key where none can be: check the indentation"},
  };
  for (const auto& [word, meaning] : kMeanings) {
    if (words == word) return std::string(meaning);
  }
  return absl::StrCat("bad YAML: ", std::string(words));
}

// A line that is indented below one with a value is to YAML a part of that value, and refused for
// its ": ": said where the value is. Of the refused line `number`, from 1; nullopt: what is wrong
// is not this.
std::optional<Problem> ValueAbove(std::string_view text, int number) {
  const std::vector<absl::string_view> lines =
      absl::StrSplit(absl::string_view(text.data(), text.size()), '\n');
  if (number < 2 || static_cast<size_t>(number) > lines.size()) return std::nullopt;
  const absl::string_view above = lines[number - 2];
  const size_t key = above.find_first_not_of(" -");
  const size_t colon = above.find(": ");
  if (colon == absl::string_view::npos || key >= colon || above[key] == '#') return std::nullopt;
  const size_t indentation = lines[number - 1].find_first_not_of(' ');
  const size_t start = above.find_first_not_of(' ', colon + 1);
  if (indentation <= key || start == absl::string_view::npos) return std::nullopt;
  // These begin no value on their line: a comment, an anchor, a tag, a text on the lines below.
  if (absl::StrContains("#&!|>\r", above[start])) return std::nullopt;
  const absl::string_view value =
      absl::StripAsciiWhitespace(above.substr(start, above.find(" #", start) - start));
  return Problem{{number - 1, static_cast<int>(start) + 1},
                 absl::StrCat("\"", above.substr(key, colon - key), "\" has the value \"",
                              value.substr(0, 60), "\", and line ", number,
                              " is indented as a part of it: remove the value, or indent that "
                              "line like this one")};
}

void ReadText(std::string_view text, Message* message, Reader* reader) {
  FindTabs(text, reader);
  if (!reader->problems().empty()) return;
  if (text.find('\0') != std::string_view::npos) {
    reader->Add({}, "a zero byte: this is not a text file");
    return;
  }
  // Also because yaml-cpp 0.7 may never come back from text that is not.
  if (const size_t valid = ValidUtf8Length(text); valid < text.size()) {
    const int line = 1 + static_cast<int>(std::count(text.begin(), text.begin() + valid, '\n'));
    const size_t start = text.substr(0, valid).rfind('\n') + 1;
    reader->Add({line, static_cast<int>(valid - start) + 1},
                "a byte that is not UTF-8: save the file as UTF-8");
    return;
  }
  try {
    const std::string yaml(text);
    const std::vector<YAML::Mark> starts = DocumentStarts::In(yaml);
    if (starts.size() > 1) {
      reader->Add(PositionOf(starts[1]),
                  "a second document, or text after the end of the first; one file holds one");
      return;
    }
    const YAML::Node document = YAML::Load(yaml);
    if (document.IsNull()) {
      reader->Add({1, 1}, "the document is empty");
    } else {
      reader->ReadMessage(document, "", message);
    }
  } catch (const YAML::Exception& error) {
    const Position position = PositionOf(error.mark);
    std::optional<Problem> above;
    if (error.msg == "illegal map value" || error.msg == "end of map not found") {
      above = ValueAbove(text, position.line);
    }
    reader->Add(above ? above->position : position,
                above ? above->message : SyntaxMessage(error.msg));
  } catch (const std::exception& error) {
    reader->Add({}, absl::StrCat("bad YAML: ", error.what()));
  }
}

}  // namespace

Position Find(const Positions& positions, std::string_view path) {
  std::string part(path);
  while (!part.empty()) {
    if (auto found = positions.find(part); found != positions.end()) return found->second;
    size_t cut = part.find_last_of(".[");
    part.resize(cut == std::string::npos ? 0 : cut);
  }
  return {1, 1};
}

std::string AtPosition(std::string_view file, Position position, std::string_view message) {
  std::string place(file);
  if (position.line > 0) absl::StrAppend(&place, ":", position.line, ":", position.column);
  return absl::StrCat(place, ": ", std::string(message));
}

absl::Status ParseYaml(std::string_view text, std::string_view file, Message* message,
                       Positions* positions) {
  message->Clear();
  if (text.size() > kLargestText) {
    return absl::InvalidArgumentError(
        AtPosition(file, {}, absl::StrCat("over ", kLargestText >> 20, " MiB")));
  }
  Reader reader(positions);
  ReadText(text, message, &reader);
  std::vector<Problem> problems = reader.problems();
  if (problems.empty()) return absl::OkStatus();
  std::stable_sort(problems.begin(), problems.end(), [](const Problem& a, const Problem& b) {
    return std::pair(a.position.line, a.position.column) <
           std::pair(b.position.line, b.position.column);
  });
  std::vector<std::string> lines;
  for (const Problem& problem : problems) {
    if (lines.size() == kMostProblems) {
      lines.push_back(absl::StrCat(std::string(file), ": and more"));
      break;
    }
    lines.push_back(AtPosition(file, problem.position, problem.message));
  }
  return absl::InvalidArgumentError(absl::StrJoin(lines, "\n"));
}

}  // namespace npufleet::spec
