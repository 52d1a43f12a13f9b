// A module for clang-tidy (loaded with --load) whose only check reports nothing: it narrows what the other checks walk
// through to the declarations that the file itself and the project's headers make. Without it clang-tidy 19 matches
// every check against everything in the precompiled header and in the system's headers, and throws away what it finds
// there: five sixths of its time.
#include <clang-tidy/ClangTidyCheck.h>
#include <clang-tidy/ClangTidyModule.h>
#include <clang-tidy/ClangTidyModuleRegistry.h>
#include <clang/AST/ASTContext.h>
#include <clang/ASTMatchers/ASTMatchFinder.h>
#include <clang/Lex/Preprocessor.h>
#include <clang/Serialization/ASTReader.h>

#include <vector>

namespace {

using namespace clang;

class OwnCodeOnly : public tidy::ClangTidyCheck {
 public:
  using ClangTidyCheck::ClangTidyCheck;

  void registerPPCallbacks(const SourceManager&, Preprocessor* preprocessor, Preprocessor*) override {
    preprocessor_ = preprocessor;
  }
  // A check without a matcher is not told of the start of a translation unit.
  void registerMatchers(ast_matchers::MatchFinder* finder) override {
    finder->addMatcher(ast_matchers::translationUnitDecl(), this);
  }

  // Called once all is parsed and before anything is matched. The reader of the precompiled header is the
  // preprocessor's external source; without such a header there is none, and everything is walked through as before.
  void onStartOfTranslationUnit() override {
    auto* reader = static_cast<ASTReader*>(preprocessor_->getExternalSource());
    if (!reader) return;
    auto& context = reader->getContext();
    std::vector<Decl*> own;
    for (auto* declaration : context.getTranslationUnitDecl()->noload_decls())
      if (!declaration->isFromASTFile() && !context.getSourceManager().isInSystemHeader(declaration->getLocation()))
        own.push_back(declaration);
    context.setTraversalScope(own);
  }

 private:
  Preprocessor* preprocessor_ = nullptr;
};

class Module : public tidy::ClangTidyModule {
 public:
  void addCheckFactories(tidy::ClangTidyCheckFactories& factories) override {
    factories.registerCheck<OwnCodeOnly>("easyenclave-own-code-only");
  }
};

const tidy::ClangTidyModuleRegistry::Add<Module> added("easyenclave", "own code only");

}  // namespace
