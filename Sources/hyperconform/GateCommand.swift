import ArgumentParser
import Conformance
import ConformanceReports
import Foundation

struct GateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gate",
        abstract: "Results against what was reached before, and against the failures that are known.",
        discussion: """
            Exit codes: 0 as expected; 1 an unexpected failure, a regression, lost coverage or an unexpected pass; 2 wrong usage; \
            3 a file could not be used or a check could not be judged; 4 an expectation is stale, doubled or expired.
            """)

    @Argument(help: ArgumentHelp("results.json, as \"run -o\" wrote it.", valueName: "results"))
    var results: String

    @Option(name: .long, help: ArgumentHelp("What was reached before (made by \"report --format baseline\").", valueName: "file"))
    var baseline: String?

    @Option(name: .long, help: ArgumentHelp("The file of known failures.", valueName: "file"))
    var expectations: String?

    @Option(
        name: .long,
        help: ArgumentHelp("The day against which expectations expire; by default it is today (UTC).", valueName: "year-month-day"))
    var today: String?

    @Option(name: .long, help: "table for people, json for programs.")
    var format: OutputFormat = .table

    func validate() throws {
        if let today, !Day.isValid(today) { throw ValidationError("--today must be written 2027-01-31") }
    }

    func run() async throws {
        let results = try Results(text: try Input.read(results), file: results)
        let baseline = try baseline.map { try Baseline(text: try Input.read($0), file: $0) }
        let expectations = try expectations.map { try Expectations(text: try Input.read($0), file: $0) } ?? Expectations()
        let gate = Gate(results, baseline: baseline, expectations: expectations, today: today ?? Input.today)
        let report = GateReport(gate, results: results, baseline: baseline)
        switch format {
        case .json: try Terminal.write(report.json.text(indent: 1) + "\n", to: nil)
        case .table: Terminal.show(report.text(colours: Terminal.colours))
        }
        if gate.exitCode != 0 { throw ExitCode(gate.exitCode) }
    }
}

/// What commands read.
enum Input {
    static func read(_ path: String) throws -> [UInt8] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CorpusError("the file can't be read; does it exist?", file: path)
        }
        return [UInt8](data)
    }

    /// Year-month-day, UTC.
    static var today: String {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = TimeZone(identifier: "UTC") ?? .current
        let parts = calendar.dateComponents([.year, .month, .day], from: Date())
        func two(_ n: Int?) -> String { (n ?? 0) < 10 ? "0\(n ?? 0)" : "\(n ?? 0)" }
        return "\(parts.year ?? 0)-\(two(parts.month))-\(two(parts.day))"
    }
}
