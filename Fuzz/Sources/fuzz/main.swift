import Foundation
import Fuzzing

// SwiftPM keeps the symbol `main` for itself, so libFuzzer's driver is called from here.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ argc: UnsafeMutablePointer<Int32>, _ argv: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ one: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

if Chosen.name == "list" {
    print(FuzzTargets.all.map(\.name).joined(separator: "\n"))
    exit(0)
}
guard Chosen.target != nil || Chosen.name == "self-test" else {
    print("FUZZ_TARGET must be self-test, list or one of: \(FuzzTargets.all.map(\.name).joined(separator: " "))")
    exit(2)
}
private var argc = CommandLine.argc
private var argv = CommandLine.unsafeArgv
exit(runDriver(&argc, &argv) { fuzzOne($0, $1) })
