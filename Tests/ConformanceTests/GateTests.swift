import Conformance
import Testing

@Suite struct GateTests {
    private func expectation(_ check: String = "udx.one", field: String = "udx.ack", kind: String = "value", expires: String = "2027-01-31")
        -> ExpectedFailure
    {
        ExpectedFailure(check: check, verdict: .fails, field: field, kind: kind, reason: "known", expires: expires)
    }

    private func rules(_ gate: Gate) -> [Gate.Rule] { gate.complaints.map(\.rule) }

    @Test func allGreenPasses() throws {
        let results = try Support.results()
        let gate = Gate(results, baseline: Baseline(results), today: "2027-01-01")
        #expect(gate.complaints.isEmpty)
        #expect(gate.exitCode == 0)
    }

    @Test func anUnexpectedFailureShutsIt() throws {
        let gate = Gate(try Support.results(Support.wrongAck), today: "2027-01-01")
        #expect(rules(gate) == [.unexpectedFailure])
        #expect(gate.exitCode == 1)
    }

    @Test func aRegressionShutsIt() throws {
        let gate = Gate(try Support.results(Support.wrongAck), baseline: Baseline(try Support.results()), today: "2027-01-01")
        #expect(rules(gate) == [.unexpectedFailure, .regression])
        #expect(gate.exitCode == 1)
    }

    @Test func aCheckThatDoesNotRunAnyMoreIsARegression() throws {
        var results = try Support.results()
        let baseline = Baseline(results)
        results.requirements[1].checks = []
        let gate = Gate(results, baseline: baseline, today: "2027-01-01")
        #expect(rules(gate) == [.regression])
        #expect(gate.complaints.first?.id == "udx.two")
    }

    @Test func lostCoverageShutsIt() throws {
        let gate = Gate(try Support.results(kills: false), baseline: Baseline(try Support.results()), today: "2027-01-01")
        #expect(rules(gate) == [.lostCoverage])
        #expect(gate.exitCode == 1)
    }

    @Test func anExpectedFailurePassesButIsNamedAndLowersTheScore() throws {
        let results = try Support.results(Support.wrongAck)
        let gate = Gate(
            results, baseline: Baseline(try Support.results()), expectations: Expectations(entries: [expectation()]), today: "2027-01-31")
        #expect(gate.complaints.isEmpty)
        #expect(gate.expected.map(\.check) == ["udx.one"])
        #expect(results.score == 25)
    }

    @Test func anUnexpectedPassShutsIt() throws {
        let gate = Gate(try Support.results(), expectations: Expectations(entries: [expectation()]), today: "2027-01-01")
        #expect(rules(gate) == [.unexpectedPass])
        #expect(gate.exitCode == 1)
    }

    @Test func anExpectationThatMatchesNoCheckIsStale() throws {
        let gate = Gate(try Support.results(), expectations: Expectations(entries: [expectation("udx.gone")]), today: "2027-01-01")
        #expect(rules(gate) == [.stale])
        #expect(gate.exitCode == 4)
    }

    @Test(arguments: [("udx.seq", "value"), ("udx.ack", "missing")])
    func anotherSignatureExcusesNothing(field: String, kind: String) throws {
        let gate = Gate(
            try Support.results(Support.wrongAck), expectations: Expectations(entries: [expectation(field: field, kind: kind)]),
            today: "2027-01-01")
        #expect(rules(gate) == [.stale, .unexpectedFailure])
        #expect(gate.exitCode == 1)
    }

    @Test func theTextOfAFindingIsNoPartOfItsSignature() throws {
        var finding = Support.wrongAck
        finding.actual = "3"
        finding.location = "packet 9"
        let gate = Gate(try Support.results(finding), expectations: Expectations(entries: [expectation()]), today: "2027-01-01")
        #expect(gate.exitCode == 0)
    }

    @Test func anExpiredExpectationShutsIt() throws {
        let gate = Gate(try Support.results(), expectations: Expectations(entries: [expectation()]), today: "2027-02-01")
        #expect(rules(gate) == [.expired])
        #expect(gate.exitCode == 4)
        let failing = Gate(try Support.results(Support.wrongAck), expectations: Expectations(entries: [expectation()]), today: "2027-02-01")
        #expect(rules(failing) == [.expired, .unexpectedFailure])
        #expect(failing.exitCode == 1)
    }

    @Test func aDoubledExpectationShutsIt() throws {
        let gate = Gate(
            try Support.results(Support.wrongAck), expectations: Expectations(entries: [expectation(), expectation()]), today: "2027-01-01")
        #expect(rules(gate) == [.doubled])
        #expect(gate.exitCode == 4)
    }

    @Test func aHarnessErrorIsNoVerdict() throws {
        var results = try Support.results()
        results.requirements[0].checks[0].verdict = .harnessError
        let gate = Gate(results, today: "2027-01-01")
        #expect(rules(gate) == [.harnessError])
        #expect(gate.exitCode == 3)
    }
}
