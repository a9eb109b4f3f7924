import ArgumentParser
import Dispatch
import Foundation
import Hyperswarm
import SansIO
import StrictJSON

struct NodeNetworkCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "network",
        abstract:
            "A whole local network: tells when it is ready, runs until standard input closes, then tells what it served. Not on a terminal: in JSON."
    )

    @Option(name: .long, help: ArgumentHelp("How many nodes, 1 to 100.", valueName: "n"))
    var count = 20

    @Option(name: .long, help: ArgumentHelp("The address of all nodes.", valueName: "address"))
    var host = "127.0.0.1"

    @Option(name: .long, help: ArgumentHelp("The UDP port of the first node; 0 takes any free one.", valueName: "port"))
    var port: UInt16 = 0

    @Flag(name: .long, help: "Segmentation offload off, so that a capture shows every packet as it was sent.")
    var evidence = false

    func validate() throws {
        guard (1...100).contains(count) else { throw ValidationError("--count must be 1 to 100") }
        _ = try NodeText.address(host)
    }

    func run() async throws { try await NodeNetworkCommand.serve(count: count, host: host, port: port, evidence: evidence) }

    static func serve(count: Int, host: String, port: UInt16, evidence: Bool) async throws {
        let stop = StopSignal()
        var options = DatagramOptions()
        options.offload = !evidence
        let network: LocalNetwork
        do { network = try await LocalNetwork(count: count, host: try NodeText.address(host), port: port, options: options) } catch let
            failure as StreamFailure
        {
            Terminal.fail("\(failure)", 1)
        }
        let isForPeople = Terminal.isTerminal(STDOUT_FILENO)
        if isForPeople {
            let who = count == 1 ? "The node is ready" : "\(count) nodes are ready, the first"
            Terminal.show("\(who) at \(network.bootstrap). Ctrl-D ends \(count == 1 ? "it" : "them").\n")
        } else {
            let nodes = JSON.array(network.endpoints.map { NodeText.json($0) })
            StopSignal.line(["ready": true, "bootstrap": [NodeText.json(network.bootstrap)], "nodes": nodes])
        }
        await stop.wait()
        let served = try await network.handledRequests()
        await network.stop()
        if isForPeople {
            let words = served.filter { $0.1 > 0 }.map { "\($0.1) \($0.0)" }
            Terminal.show("Served: \(words.isEmpty ? "nothing" : words.joined(separator: ", ")).\n")
        } else {
            var object = JSONObject()
            for (command, count) in served { object.set(command, .integer(count)) }
            StopSignal.line(["requests": .object(object)])
        }
    }
}

struct NodeBootstrapCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bootstrap", abstract: "One node that others start from. Runs until standard input closes.")

    @Option(name: .long, help: ArgumentHelp("Its address.", valueName: "address"))
    var host = "127.0.0.1"

    @Option(name: .long, help: ArgumentHelp("Its UDP port.", valueName: "port"))
    var port: UInt16 = 49737

    func validate() throws { _ = try NodeText.address(host) }

    func run() async throws { try await NodeNetworkCommand.serve(count: 1, host: host, port: port, evidence: false) }
}

/// The end of standard input, SIGTERM or SIGINT: whatever comes first.
///
/// Unchecked: the sources are set once and only held.
final class StopSignal: @unchecked Sendable {
    private let stream: AsyncStream<Void>
    private let sources: [any DispatchSourceSignal]

    /// `watchesInput` is false where standard input is data.
    init(watchesInput: Bool = true) {
        let (stream, sink) = AsyncStream<Void>.makeStream()
        self.stream = stream
        sources = [SIGTERM, SIGINT].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { sink.finish() }
            source.resume()
            return source
        }
        guard watchesInput else { return }
        Thread.detachNewThread {
            while let data = try? FileHandle.standardInput.read(upToCount: 4096), !data.isEmpty {}
            sink.finish()
        }
    }

    func wait() async { for await _ in stream {} }

    /// One line on standard output, at once.
    static func line(_ json: JSON) {
        FileHandle.standardOutput.write(Data((json.text() + "\n").utf8))
    }
}
