import CompactEncoding
import Conformance
import HyperswarmCore
import SansIO
import SwarmChecks
import Testing

private let checks = SwarmChecks.suites.flatMap(\.checks)
private let corpus = Corpus.find() ?? Corpus(root: ".")

@Test(arguments: checks.map(\.id)) func theCheckHolds(id: String) throws {
    let check = try #require(checks.first { $0.id == id })
    let exam = Examination(corpus: corpus)
    try check.run(exam)
    #expect(exam.verdict.isPassed, "\(exam.findings)")
}

@Test(arguments: SwarmChecks.suites.flatMap(\.mutants).map(\.id)) func theMutantIsKilled(id: String) throws {
    let mutant = try #require(SwarmChecks.suites.flatMap(\.mutants).first { $0.id == id })
    let judges = checks.filter { $0.requirements.contains(mutant.requirement) }
    #expect(!judges.isEmpty)
    let killed = judges.contains { check in
        let exam = Examination(corpus: corpus)
        do { try mutant.mutation.plant { try check.run(exam) } } catch { return true }
        return exam.verdict.isFailed
    }
    #expect(killed, "no check of \(mutant.requirement) notices: \(mutant.bug)")
}

@Test func aChangedFirewallForgetsNoBanOfTheApplicationAndLetsInNobodyOnTheWay() throws {
    let (banned, late) = (Bytes32(bigEndianWords: (1, 0, 0, 0)), Bytes32(bigEndianWords: (2, 0, 0, 0)))
    var options = SwarmOptions()
    options.firewall = .deny([banned])
    let now = Instant.zero
    let machine = SwarmMachine(publicKey: .zero, options: options, entropy: SeededEntropy(seed: 1), now: now)
    #expect(!machine.acceptsHandshake(from: banned, now: now))
    machine.ban(banned, now: now)
    #expect(machine.acceptsHandshake(from: late, now: now))
    machine.setFirewall(.deny([late]), now: now)
    #expect(machine.peers[banned]?.isBanned == true)
    // Its handshake was accepted before: the connection comes, and goes.
    let id = machine.incoming(from: late, now: now)
    #expect(machine.takeEffects().contains(.destroyConnection(id, .refused)))
    #expect(machine.openConnections.isEmpty)
}
