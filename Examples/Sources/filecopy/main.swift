import Foundation
import Hyperswarm

// One side serves a file under a public key, the other fetches it by that key.

/// Each line is seen at once, through a pipe too.
func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

let arguments = Array(CommandLine.arguments.dropFirst())
var options = try HyperDHTOptions(bootstrap: [ProcessInfo.processInfo.environment["BOOTSTRAP"] ?? "127.0.0.1:49737"])
options.port = 0

func send(_ path: String) async throws {
    let dht = try await HyperDHT(options)
    try await dht.ready()
    let server = try await dht.createServer()
    say("the other side runs: filecopy receive \(server.publicKey) FILE")
    for await connection in server.connections {
        Task {
            do {
                let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
                // A write returns when there is room for more, so a large file never fills the memory.
                while let chunk = try file.read(upToCount: 1 << 16), !chunk.isEmpty { try await connection.write([UInt8](chunk)) }
                try await connection.finish()
                for try await _ in connection {}
                say("sent to \(connection.remotePublicKey)")
            } catch { say("\(error)") }
        }
    }
}

func receive(_ key: Bytes32, _ path: String) async throws {
    let dht = try await HyperDHT(options)
    try await dht.ready()
    let connection = try await dht.connect(to: key)
    guard FileManager.default.createFile(atPath: path, contents: nil), let file = FileHandle(forWritingAtPath: path) else {
        say("\(path) can't be written")
        exit(1)
    }
    var total = 0
    let start = ContinuousClock.now
    for try await chunk in connection {
        try file.write(contentsOf: chunk)
        total += chunk.count
    }
    try await connection.finish()
    _ = try await connection.closed()
    say("\(total) bytes in \(ContinuousClock.now - start)")
    await dht.destroy()
}

switch (arguments.first, arguments.count) {
case ("send", 2): try await send(arguments[1])
case ("receive", 3):
    guard let key = Bytes32(keyText: arguments[1]) else {
        say("\(arguments[1]) is no public key")
        exit(2)
    }
    try await receive(key, arguments[2])
default:
    say("usage: filecopy send FILE | filecopy receive KEY FILE")
    exit(2)
}
