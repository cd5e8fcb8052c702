//! A CEL expression that cannot harm who asks it.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use cel::extractors::This;
use cel::parser::PrattParser;
use cel::{Context, Env, ExecutionError, IdedExpr, ParseErrors, Value};
use regex_lite::Regex;

use crate::{PolicyError, Position};

/// Bytes. Both the parser and the evaluation recurse, so this bounds their stacks.
const LONGEST: usize = 4096;
/// Bytes; what the longest expression needs, many times over. Only what is used is ever backed by memory.
const STACK: usize = 64 << 20;
/// The kubelet and the runtimes wait for us, so an answer that takes longer is none.
const LIMIT: Duration = Duration::from_millis(500);

/// Values of the variables, by name.
pub(crate) type Variables = Vec<(&'static str, Value)>;

/// A compiled expression.
pub(crate) struct Expression {
    program: Arc<IdedExpr>,
    env: Arc<Env>,
}

impl Expression {
    /// `probe` is what an empty container looks like: with it, names that do not exist and results that are no bool
    /// are found now rather than when the agent is away.
    pub(crate) fn compile(text: &str, probe: Variables) -> Result<Self, PolicyError> {
        if text.len() > LONGEST {
            return Err(wrong(
                format!("{} bytes are more than the {LONGEST} allowed", text.len()),
                "shorten it".to_owned(),
            ));
        }
        let source = text.to_owned();
        let compiled = guarded(move || {
            let env = Arc::new(Env::stdlib());
            let parsed = PrattParser::new().parse(&source);
            let program = Arc::new(parsed.map_err(|errors| first_error(&errors))?);
            let this = Self { program, env };
            match this.run(probe) {
                Err(ExecutionError::UndeclaredReference(name)) => {
                    Err(wrong(format!("there is no variable or function '{name}'"), names_there_are()))
                }
                Ok(Value::Bool(_)) | Err(_) => Ok(this),
                Ok(other) => Err(wrong(
                    format!("it gives a value of type {}", other.type_of()),
                    "it must give true (refuse the container) or false (let it start)".to_owned(),
                )),
            }
        });
        compiled.map_err(|failure| wrong(failure.to_owned(), "simplify it".to_owned()))?
    }

    /// What the expression says, or why it says nothing.
    pub(crate) fn evaluate(&self, variables: Variables) -> Result<bool, String> {
        let this = Self { program: Arc::clone(&self.program), env: Arc::clone(&self.env) };
        // The value itself may be too deep to be dropped on an ordinary stack: it never leaves that thread.
        let result = guarded(move || match this.run(variables) {
            Ok(Value::Bool(refuse)) => Ok(refuse),
            Ok(other) => Err(format!("it gave a value of type {}, not true or false", other.type_of())),
            Err(error) => Err(one_line(&error.to_string())),
        });
        result.map_err(str::to_owned)?
    }

    fn run(&self, variables: Variables) -> Result<Value, ExecutionError> {
        let mut context = Context::with_env(Arc::clone(&self.env));
        for (name, value) in variables {
            context.add_variable_from_value(name, value);
        }
        context
            .add_function("matches", matches)
            .map_err(|error| ExecutionError::InternalError(error.to_string()))?;
        Value::resolve(&self.program, &context)
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Expression")
    }
}

/// `text.matches(pattern)`, anywhere in the text, in time linear to it.
#[expect(clippy::needless_pass_by_value, reason = "the library's form of a function")]
fn matches(This(text): This<Arc<String>>, pattern: Arc<String>) -> Result<bool, ExecutionError> {
    let wrong = |error: regex_lite::Error| ExecutionError::FunctionError {
        function: "matches".to_owned(),
        message: format!("'{pattern}': {error}"),
    };
    Regex::new(&pattern).map(|pattern| pattern.is_match(&text)).map_err(wrong)
}

/// Runs `work` on a thread of its own. If it does not end in time, it is left to itself.
fn guarded<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, &'static str> {
    let (sender, receiver) = sync_channel(1);
    let thread = thread::Builder::new().name("cel".to_owned()).stack_size(STACK);
    // The handle is of no use: a panic shows as a sender that is gone.
    let started = thread.spawn(move || drop(sender.send(work())));
    if started.is_err() {
        return Err("no thread could be started to evaluate it");
    }
    receiver.recv_timeout(LIMIT).map_err(|error| match error {
        RecvTimeoutError::Timeout => "evaluating it took more than half a second",
        RecvTimeoutError::Disconnected => "evaluating it failed unexpectedly",
    })
}

fn first_error(errors: &ParseErrors) -> PolicyError {
    let count = |at: isize| usize::try_from(at).unwrap_or(0);
    let (position, message) = errors.errors.first().map_or_else(Default::default, |first| {
        let position = Position { line: count(first.pos.0), column: count(first.pos.1) + 1 };
        (position, one_line(&first.msg))
    });
    let remedy = "write a CEL expression that is true for containers to be refused".to_owned();
    PolicyError::Expression { position, message, remedy }
}

fn wrong(message: String, remedy: String) -> PolicyError {
    PolicyError::Expression { position: Position::default(), message, remedy }
}

fn names_there_are() -> String {
    format!("the variables are {}", crate::policy::VARIABLES.join(", "))
}

/// Messages go to logs of one line an entry; values in them can be a pod author's.
fn one_line(text: &str) -> String {
    const LONGEST_MESSAGE: usize = 400;
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).take(LONGEST_MESSAGE).collect()
}
