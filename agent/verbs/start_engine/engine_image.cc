// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/start_engine/engine_image.h"

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "agent/verbs/container_exec.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/signatures.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr absl::Duration kDeadline = absl::Minutes(5);

class KnownImages {
 public:
  static KnownImages& Instance() {
    static KnownImages* instance = new KnownImages;
    return *instance;
  }
  std::optional<EngineImage> Find(const std::string& id) {
    absl::MutexLock lock(&mutex_);
    const auto found = images_.find(id);
    if (found == images_.end()) return std::nullopt;
    return found->second;
  }
  void Add(const std::string& id, const EngineImage& image) {
    absl::MutexLock lock(&mutex_);
    images_[id] = image;
  }

 private:
  absl::Mutex mutex_;
  std::map<std::string, EngineImage> images_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<host::ExecResult> RunVllm(host::Host& host, std::string_view container,
                                         const std::vector<std::string>& arguments,
                                         const std::map<std::string, std::string>& environment,
                                         Execution& execution) {
  host::ExecSpec spec;
  spec.container = std::string(container);
  std::vector<std::string> argv = {"vllm"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  spec.argv = EntryArgv(argv);
  spec.environment = environment;
  spec.deadline = kDeadline;
  spec.cancelled = [&execution] { return execution.IsCancelled(); };
  execution.Log(ShellLine(argv));
  absl::StatusOr<host::ExecResult> result = host.docker->Exec(spec);
  if (!result.ok()) return Annotate(result.status(), ShellLine(argv));
  return result;
}

absl::Status DoesNotStart(const host::ExecResult& result) {
  const std::string output = result.Combined();
  const std::vector<std::string> last = LastLines(output, 1);
  v1::Failure otherwise;
  const bool is_missing = result.exit_code == 126 || result.exit_code == 127;
  otherwise.set_class_(is_missing ? v1::Failure::CONFIG : v1::Failure::TRANSIENT);
  otherwise.set_symptom(absl::StrCat("vllm --version ended with ", result.exit_code, ": ",
                                     last.empty() ? "no output" : last.back()));
  otherwise.set_advice("The image must hold a vLLM that starts: check image.name in the spec.");
  return FailureOfOutput("serve", output, otherwise);
}

}  // namespace

absl::StatusOr<EngineImage> AskEngineImage(host::Host& host, std::string_view container,
                                           std::string_view image_id,
                                           const std::map<std::string, std::string>& environment,
                                           Execution& execution) {
  const std::string id(image_id);
  if (std::optional<EngineImage> known = KnownImages::Instance().Find(id)) return *known;
  ASSIGN_OR_RETURN(const host::ExecResult version,
                   RunVllm(host, container, {"--version"}, environment, execution));
  if (version.exit_code != 0) return DoesNotStart(version);
  EngineImage image;
  image.version = ParseEngineVersion(version.Combined());
  execution.Log(image.version.has_value()
                    ? absl::StrCat("vLLM ", ToString(*image.version))
                    : "vllm --version prints no version: nothing is adapted to it");
  for (const char* help : {"--help", "--help=all"}) {
    ASSIGN_OR_RETURN(const host::ExecResult printed,
                     RunVllm(host, container, {"serve", help}, environment, execution));
    if (printed.exit_code == 0) image.options = ParseHelp(printed.Combined());
    if (!image.options.empty()) break;
  }
  if (image.options.empty()) {
    execution.Log("vllm serve --help lists no options: the spec's are not compared with it");
  }
  KnownImages::Instance().Add(id, image);
  return image;
}

}  // namespace npufleet::verbs
