import Foundation
import KeyLog
import PacketCapture
import Testing

/// A bundle with one broken file gives one sentence that names file and offset, and nothing is judged.
@Suite struct BrokenBundleTests {
    static let cases: [(file: String, from: String, to: String, expected: String)] = [
        ("manifest.json", "\"schema\": \"hyperswarm-trace/1\"", "\"schema\": \"hyperswarm-trace/7\"", "hyperswarm-trace/7"),
        ("manifest.json", "\"ok\": true", "\"ok\": true, \"ok\": true", "twice"),
        ("manifest.json", "\"ok\": true", "\"ok\": true, \"odd\": 1", "unknown key \"odd\""),
        ("keylog.jsonl", "hyperswarm-keylog/2", "hyperswarm-keylog/3", "hyperswarm-keylog/3"),
        ("keylog.jsonl", "\"type\":\"holepunch\"", "\"type\":\"holepunched\"", "unknown line type"),
        ("inputs.jsonl", "\"kind\":\"draw\"", "\"kind\":\"drew\"", "unknown kind"),
        ("inputs.jsonl", "\"kind\":\"call\"", "\"kind\":\"call\",\"kind\":\"call\"", "twice"),
        ("inputs.jsonl", "\"value\":0.", "\"value\":7.", "not including, 1"),
        ("events.jsonl", "\"who\"", "\"whom\"", "\"who\" is missing"),
    ]

    @Test(arguments: cases.indices)
    func isNamed(_ index: Int) throws {
        let (file, from, to, expected) = Self.cases[index]
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("bundle-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.copyItem(at: URL(fileURLWithPath: Fixture.root + "/Fixtures/connect-holepunch"), to: folder)
        let path = folder.appendingPathComponent(file)
        let text = try String(contentsOf: path, encoding: .utf8)
        let range = try #require(text.range(of: from))
        try text.replacingCharacters(in: range, with: to).write(to: path, atomically: true, encoding: .utf8)
        do {
            _ = try TraceBundle(path: folder.path)
            Issue.record("\(file) was accepted with \(to)")
        } catch let error as KeyLogError {
            #expect(error.description.contains(expected) && error.file.hasSuffix(file), "\(error)")
        }
    }
}
