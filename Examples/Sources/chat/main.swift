import CompactEncoding
import Foundation
import HyperCrypto
import Hyperswarm
import HyperswarmCore
import SansIO

// A room is a topic: the hash of its name. Knowing the name is what makes a member, and every connection proves it.

let arguments = CommandLine.arguments.dropFirst()
guard let room = arguments.first else {
    print("usage: chat ROOM [KEY...]   a room's name, and optionally the public keys of those who may enter")
    exit(2)
}
let parts = (ProcessInfo.processInfo.environment["BOOTSTRAP"] ?? "127.0.0.1:49737").split(separator: ":")
guard parts.count == 2, let host = IPAddress(parts[0]), let port = UInt16(parts[1]) else {
    print("BOOTSTRAP must be address:port")
    exit(2)
}

var options = HyperswarmOptions(bootstrap: [Endpoint(host, port)])
options.dht.host = host == .loopback ? .loopback : .any
let allowed = arguments.dropFirst().compactMap { Bytes32(keyText: $0) }
if !allowed.isEmpty { options.swarm.firewall = .allow(Set(allowed)) }

let secret = Blake2b.hash256(Array("chat secret".utf8), Array(room.utf8)).bytes
let topic = Blake2b.hash256(Array("chat topic".utf8), Array(room.utf8))

/// Who is in the room now.
actor Room {
    private var members: [PeerConnection] = []
    func enter(_ member: PeerConnection) { members.append(member) }
    func leave(_ member: PeerConnection) { members.removeAll { $0 === member } }
    func say(_ text: String) async {
        for member in members { try? await member.write(Array(text.utf8)) }
    }
}

let members = Room()
let swarm = try await Hyperswarm(options)
print("you are \(swarm.publicKey)")
try await swarm.join(topic)

let greeting = Task {
    for await connection in swarm.connections {
        Task {
            let name = connection.remotePublicKey.map { String($0.description.prefix(8)) } ?? "?"
            do {
                try await connection.proveCapability(secret)
                await members.enter(connection)
                print("* \(name) came")
                for try await message in connection { print("\(name): \(String(decoding: message, as: UTF8.self))") }
            } catch { print("* \(name): \(error)") }
            await members.leave(connection)
            print("* \(name) left")
        }
    }
}

// Reading a line blocks, so it has a thread of its own.
let (lines, sink) = AsyncStream<String>.makeStream()
Thread.detachNewThread {
    while let line = readLine() { sink.yield(line) }
    sink.finish()
}
for await line in lines { await members.say(line) }
greeting.cancel()
await swarm.destroy()
