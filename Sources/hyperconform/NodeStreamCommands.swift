import ArgumentParser
import CompactEncoding
import Foundation
import Hyperswarm
import SansIO
import StrictJSON

struct NodeListenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "listen",
        abstract: "Takes encrypted connections under a key, prints what comes in, and sends standard input to everybody connected.")

    @Option(name: .long, help: ArgumentHelp("Seed of the key pair, 64 hexadecimal digits. Default: a new key pair.", valueName: "hex"))
    var seed: String?

    @Flag(name: .long, help: "Sends back what comes in, and leaves standard input alone.")
    var echo = false

    @OptionGroup var node: NodeOptions

    func run() async throws {
        try await node.run(seed: seed) { dht in
            let stop = StopSignal(watchesInput: false)
            let server = try await dht.createServer()
            if node.format == .json {
                StopSignal.line(["listening": true, "publicKey": .string(server.publicKey.description)])
            } else {
                output(Array("\(server.publicKey)\n".utf8))
            }
            let everybody = Connected()
            let echo = self.echo
            let accepting = Task {
                for await connection in server.connections {
                    await everybody.add(connection)
                    Task {
                        note("connected: \(connection.remotePublicKey)")
                        do {
                            for try await message in connection { if echo { try await connection.write(message) } else { output(message) } }
                            try await connection.finish()
                        } catch { note("\(error)") }
                        await everybody.remove(connection)
                        note("closed: \(connection.remotePublicKey)")
                    }
                }
            }
            let reading = echo ? nil : Task { for await bytes in inputChunks() { await everybody.write(bytes) } }
            await stop.wait()
            reading?.cancel()
            accepting.cancel()
        }
    }
}

/// The connections of a listening command.
private actor Connected {
    private var connections: [PeerConnection] = []
    func add(_ connection: PeerConnection) { connections.append(connection) }
    func remove(_ connection: PeerConnection) { connections.removeAll { $0 === connection } }
    func write(_ bytes: [UInt8]) async { for connection in connections { try? await connection.write(bytes) } }
}

struct NodeConnectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "connect", abstract: "Connects to a key: standard input goes there, what comes back is printed.")

    @Argument(help: "The public key: 64 hexadecimal digits or z-base-32.")
    var key: String

    @Option(name: .long, help: ArgumentHelp("Seed of our own key pair, 64 hexadecimal digits.", valueName: "hex"))
    var seed: String?

    @OptionGroup var node: NodeOptions

    func run() async throws {
        let key = try NodeText.key(key)
        try await node.run(seed: seed) { dht in
            let connection = try await dht.connect(to: key)
            note("connected to \(connection.info.map { "\($0.remoteAddress)" } ?? "?")")
            let writing = Task {
                for await bytes in inputChunks() { try await connection.write(bytes) }
                try await connection.finish()
            }
            for try await message in connection { output(message) }
            writing.cancel()
            try await connection.finish()
            _ = try await connection.closed()
        }
    }
}

/// For people: on standard error.
private func note(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

private func output(_ bytes: [UInt8]) { FileHandle.standardOutput.write(Data(bytes)) }

/// Standard input, as it comes; read on a thread of its own, because reading blocks.
private func inputChunks() -> AsyncStream<[UInt8]> {
    let (stream, sink) = AsyncStream<[UInt8]>.makeStream()
    Thread.detachNewThread {
        while let data = try? FileHandle.standardInput.read(upToCount: 65_536), !data.isEmpty { sink.yield([UInt8](data)) }
        sink.finish()
    }
    return stream
}
