import MsgBox
import Testing

@Suite("Calls inside callbacks", .transitions)
struct CallbackTests {
  /// Makes every kind of event at one node or the other.
  private final class Scenario {
    let simulation = Simulation(seed: 3)
    let server: Node
    let client: Node
    let transport: Transport
    var listener = Handle.none
    var address = Address.unspecified

    init(_ transport: Transport) {
      self.transport = transport
      server = simulation.addNode("server")
      client = simulation.addNode("client")
    }

    func run() throws {
      listener = server.listen(transport, port: 7000)
      address = Address(ip: server.ip, port: 7000)
      _ = server.listen(transport, port: 7000)
      simulation.run(for: .milliseconds(50))
      var options = quickOptions()
      options.sendMarkMessages = 4
      let up = client.connect(transport, to: address, options: options)
      _ = client.connect(to: nil)
      simulation.run(for: .milliseconds(200))
      var context: UInt = 1000
      for _ in 0..<3 {
        context += 1
        _ = client.get("answer", from: up, context: context)
        _ = client.send("message", to: up)
        _ = client.get("ignore", from: up, context: context + 100)
      }
      simulation.run(for: .milliseconds(100))
      _ = client.sendReliably([1], to: up, outcome: 1)
      simulation.run(for: .seconds(1))
      let other = client.connect(transport, to: address, options: options)
      simulation.run(for: .milliseconds(200))
      _ = client.disconnect(other)
      simulation.run(for: .milliseconds(200))
      simulation.change(server, client) { $0.isUp = false }
      _ = client.sendReliably([2], to: up, outcome: 2)
      simulation.run(for: .seconds(40))
      simulation.change(server, client) { $0.isUp = true }
      simulation.run(for: .seconds(1))
      _ = server.unlisten(listener)
      simulation.run(for: .seconds(1))
    }
  }

  private static let kinds = EventKind.allCases.filter { $0 != .error }

  @Test(
    "Every call is legal in the callback of each kind of event", arguments: kinds,
    [Transport.tcp, .udp])
  func everyCall(kind: EventKind, transport: Transport) throws {
    let scenario = Scenario(transport)
    var calls = 0
    var context: UInt = 1
    func react(_ node: Node, _ event: LoggedEvent) {
      if event.kind == .request, event.text == "answer" { _ = node.answer("", to: event.request) }
      guard event.kind == kind, calls < 3 else { return }
      calls += 1
      context += 1
      _ = node.send("from the callback", to: event.handle)
      _ = node.get("from the callback", from: event.handle, context: context)
      _ = node.answer("from the callback", to: event.request)
      _ = node.connect(transport, to: scenario.address, context: context)
      _ = node.listen(transport, context: context)
      _ = node.setContext(context, of: event.handle)
      #expect(node.userWords(of: event.handle)?.context == context)
      _ = node.disconnect(event.handle)
      _ = node.unlisten(event.handle)
      if event.listener != .none { _ = node.unlisten(event.listener) }
    }
    scenario.server.onEvent = react
    scenario.client.onEvent = react
    try scenario.run()
    scenario.server.onEvent = nil
    scenario.client.onEvent = nil
    #expect(calls > 0, "the scenario has no \(kind)")
    finishAll(scenario.simulation)
  }

  @Test("A call for a handle that never was is answered with an error")
  func badHandles() {
    let node = Simulation().addNode("node")
    for raw in [0, 1, 0x100_0000_0000, 0x100_0010_0001, UInt64.max] {
      let handle = Handle(rawValue: raw)
      #expect(node.send("", to: handle) == .badHandle)
      #expect(node.get("", from: handle) == .badHandle)
      #expect(node.answer("", to: handle) == .badHandle)
      #expect(node.disconnect(handle) == .badHandle)
      #expect(node.unlisten(handle) == .badHandle)
      #expect(node.userWords(of: handle) == nil)
      #expect(node.peer(of: handle) == nil)
      #expect(node.localPort(of: handle) == nil)
      #expect(node.counters(of: handle) == nil)
      #expect(!node.setContext(1, of: handle))
    }
  }

  @Test(
    "A listener cannot be sent to, nor a connection unlistened", arguments: bothTransports)
  func wrongKind(transport: Transport) throws {
    let pair = try Pair(transport)
    #expect(pair.server.send("", to: pair.listener) == .invalidArgument)
    #expect(pair.server.get("", from: pair.listener) == .invalidArgument)
    #expect(pair.server.disconnect(pair.listener) == .invalidArgument)
    #expect(pair.server.unlisten(pair.down) == .invalidArgument)
    #expect(pair.client.unlisten(pair.up) == .invalidArgument)
    pair.finish()
  }

  @Test(
    "A request's handle is bad for a second answer and after the end",
    arguments: bothTransports)
  func answeredTwice(transport: Transport) throws {
    let pair = try Pair(transport)
    #expect(pair.client.get("1", from: pair.up, context: 1) == .ok)
    #expect(pair.client.get("2", from: pair.up, context: 2) == .ok)
    let second = try #require(pair.server.wait(for: .request, count: 2))
    let first = try #require(pair.server.log.first(.request))
    #expect(pair.server.answer("1", to: first.request) == .ok)
    #expect(pair.server.answer("1", to: first.request) == .badHandle)
    #expect(pair.server.disconnect(pair.down) == .ok)
    _ = try #require(pair.client.wait(for: .connectionClosed))
    #expect(pair.server.answer("2", to: second.request) == .badHandle)
    pair.finish()
  }

  @Test("Shutting down tells the peers and calls nothing", arguments: bothTransports)
  func shutDown(transport: Transport) throws {
    let pair = try Pair(transport)
    let events = pair.server.log.total
    #expect(pair.server.get("", from: pair.down, context: 1) == .ok)
    pair.server.shutDown()
    pair.run(for: .milliseconds(1))
    pair.server.kill()
    #expect(pair.client.wait(for: .connectionClosed)?.status == .endPeer)
    #expect(pair.server.log.total == events)
    pair.finish()
  }
}
