import ArgumentParser
import Conformance
import Foundation
import LivePeers

/// How a peer is named on the command line: built in, or defined there.
struct PeerNames: ParsableArguments {
    @Option(
        name: .customLong("node-modules"),
        help: ArgumentHelp(
            "Folder with the npm packages for the built-in peer \"node\"; by default harness/node/node_modules.", valueName: "dir"))
    var nodeModules: String?

    @Option(
        name: .customLong("define"),
        help: ArgumentHelp(
            "A peer of your own: a name and the command that starts it. May be given more than once.", valueName: "name=command"))
    var definitions: [String] = []

    /// The command behind a name.
    func command(_ name: String) throws -> PeerCommand {
        for definition in definitions {
            guard let equals = definition.firstIndex(of: "=") else {
                throw ValidationError("--define wants name=command, not \(definition)")
            }
            if definition[..<equals] == name {
                return PeerCommand(name: name, words: definition[definition.index(after: equals)...].split(separator: " ").map(String.init))
            }
        }
        switch name {
        case "swift":
            let own = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
            let path = own.appendingPathComponent("hyperconform-peer").path
            guard FileManager.default.isExecutableFile(atPath: path) else {
                throw CorpusError("build it with: swift build --product hyperconform-peer", file: path)
            }
            return PeerCommand(name: name, words: [path])
        case "node":
            guard let root = Corpus.find()?.root else {
                throw CorpusError("run this inside a checkout: it needs harness/node", file: "harness/node/peer.mjs")
            }
            return PeerCommand(
                name: name, words: ["node", "\(root)/harness/node/peer.mjs"] + (nodeModules.map { ["--node-modules", $0] } ?? []))
        default: throw ValidationError("no peer \"\(name)\": swift, node, or one that --define names")
        }
    }

    /// The command behind a name, or the words of a command line.
    func commandOrWords(_ text: String) throws -> PeerCommand {
        let words = text.split(separator: " ").map(String.init)
        guard words.count <= 1, !text.contains("/") else { return PeerCommand(name: text, words: words) }
        return try command(text)
    }
}
