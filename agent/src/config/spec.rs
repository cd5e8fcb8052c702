//! One row of the option table, and the macro that turns the table into a typed [`Config`](super::Config).

/// What an option does in this agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what its help says.
    Honoured,
    /// It is accepted so that existing installations start, but does nothing, for this reason.
    None(&'static str),
    /// An old name: the value goes to this option unless that is set too.
    Renamed(&'static str),
}

/// One option: a flag, an environment variable and a configuration key of the same name.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The name, in lower case with hyphens.
    pub name: &'static str,
    /// The one-letter flag.
    pub short: Option<char>,
    /// The word for the value in the help; empty for a switch.
    pub word: &'static str,
    /// The default as text.
    pub default: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// Left out of `--help`.
    pub hidden: bool,
    /// A repeated flag adds to the list.
    pub list: bool,
    /// An empty file sets an empty value instead of the default.
    pub holds_empty: bool,
    /// The release of the compatible interface that brought it.
    pub since: &'static str,
    /// What it does here.
    pub effect: Effect,
}

impl Spec {
    pub(super) const fn of<K: super::Kind>(
        name: &'static str,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            name,
            short: None,
            word: K::WORD,
            default,
            help,
            hidden: false,
            list: K::LIST,
            holds_empty: K::HOLDS_EMPTY,
            since: "v1.2",
            effect: Effect::Honoured,
        }
    }

    pub(super) const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    pub(super) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub(super) const fn since(mut self, release: &'static str) -> Self {
        self.since = release;
        self
    }

    pub(super) const fn no_effect(mut self, reason: &'static str) -> Self {
        self.effect = Effect::None(reason);
        self
    }

    pub(super) const fn renamed(mut self, name: &'static str) -> Self {
        self.effect = Effect::Renamed(name);
        self.hidden()
    }

    /// A switch stands alone on the command line; every other flag takes a value.
    pub fn is_switch(&self) -> bool {
        self.word.is_empty()
    }
}

/// Turns the table into the static list `OPTIONS` and the struct `Config` with one typed field per option.
macro_rules! options {
    ($( $field:ident: $kind:ident, $name:literal, $default:literal, $help:literal
        $(=> $($detail:ident($($argument:expr)?)).+)?; )*) => {
        /// Every option, sorted by name.
        pub static OPTIONS: &[Spec] = &[
            $( Spec::of::<kinds::$kind>($name, $default, $help) $($( .$detail($($argument)?) )+)?, )*
        ];

        /// The settings the agent runs with: one field per option, read and checked.
        #[derive(Clone, Debug)]
        pub struct Config {
            $(
                #[doc = concat!("`--", $name, "`: ", $help)]
                pub $field: <kinds::$kind as Kind>::Value,
            )*
            /// Where each value that is not a default came from.
            pub(super) sources: BTreeMap<&'static str, Source>,
        }

        impl Config {
            /// Reads every given text; a field that cannot be read gets its default and a report.
            pub(super) fn read(given: Given, reports: &mut Reports) -> Self {
                $( let $field = read_one::<kinds::$kind>($name, $default, &given, reports); )*
                Self { $($field,)* sources: given.into_sources() }
            }

            /// Every setting as text, sorted by name.
            pub fn settings(&self) -> Vec<(&'static str, String)> {
                vec![ $( ($name, <kinds::$kind as Kind>::show(&self.$field)), )* ]
            }
        }
    };
}
pub(super) use options;
