import Foundation
import Fuzzing

// SwiftPM keeps the symbol `main` for itself, so libFuzzer's driver is called from here.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ argc: UnsafeMutablePointer<Int32>, _ argv: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ one: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

private let arguments = CommandLine.arguments
if arguments.count > 1, arguments[1] == "list" {
    print(FuzzTargets.all.map(\.name).joined(separator: "\n"))
    exit(0)
}
guard let target = Chosen.target else {
    print("FUZZ_TARGET must be one of: \(FuzzTargets.all.map(\.name).joined(separator: " "))")
    exit(2)
}
/// `unpack CORPUS FOLDER`: one file an input, for libFuzzer. `pack FOLDER CORPUS`: back into one text file.
if arguments.count == 4, arguments[1] == "unpack" {
    try CorpusFolder.unpack(arguments[2], into: arguments[3], target)
    exit(0)
}
if arguments.count == 4, arguments[1] == "pack" {
    try CorpusFolder.pack(arguments[2], into: arguments[3])
    exit(0)
}
private var argc = CommandLine.argc
private var argv = CommandLine.unsafeArgv
exit(runDriver(&argc, &argv) { fuzzOne($0, $1) })
