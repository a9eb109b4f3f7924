import Foundation
import Fuzzing

/// libFuzzer wants a folder of files; the repository keeps one text file a target.
enum CorpusFolder {
    static func unpack(_ file: String, into folder: String, _ target: FuzzTarget) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        var inputs = target.seeds()
        if let text = try? String(contentsOfFile: file, encoding: .utf8) { inputs += try FuzzCorpus(text: text).inputs }
        for (index, input) in inputs.enumerated() { try Data(input).write(to: URL(fileURLWithPath: "\(folder)/input-\(index)")) }
    }

    /// Cases that are in the file already with a remark stay as they are.
    static func pack(_ folder: String, into file: String) throws {
        var corpus = FuzzCorpus()
        if let text = try? String(contentsOfFile: file, encoding: .utf8) { corpus = try FuzzCorpus(text: text) }
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        corpus.replaceInputs(try names.map { [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\($0)"))) })
        try Data(corpus.text.utf8).write(to: URL(fileURLWithPath: file))
    }
}
