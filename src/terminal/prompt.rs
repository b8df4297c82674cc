//! The code that a person types in a browser, so that it can't be overlooked.

use crate::error::one_line;

use super::screen::Screen;

/// What a person is asked to do.
pub struct DeviceCodePrompt<'a> {
    /// The code to type.
    pub code: &'a str,
    /// Where to type it.
    pub address: &'a str,
    /// The whole in one line, for where lines are all there is.
    pub line: &'a str,
}

/// Between the code and its frame, on either side.
const MARGIN: usize = 6;
/// Before the frame, and before what is said below it.
const INDENT: &str = "  ";

impl DeviceCodePrompt<'_> {
    /// The code first, then where it goes.
    pub(super) fn drawn(&self, screen: &Screen) -> String {
        let width = (screen.width)();
        let (code, address) = (one_line(self.code), one_line(self.address));
        let room = INDENT.len() + framed_width(&code);
        // Letters beyond ASCII may be wider than one column, and the frame would be crooked.
        let code = if code.is_ascii() && room <= width { framed(&code, screen) } else { screen.strong(&code) };
        format!("\n{code}\n\n{}\n\n", instruction(&address, width))
    }
}

fn framed_width(code: &str) -> usize {
    code.len() + 2 * MARGIN + 2
}

/// The letters of the code stay together: a double click has to take it whole.
fn framed(code: &str, screen: &Screen) -> String {
    let [top_left, top_right, bottom_left, bottom_right, across, down] =
        if screen.unicode { ["┌", "┐", "└", "┘", "─", "│"] } else { ["+", "+", "+", "+", "-", "|"] };
    let edge = across.repeat(framed_width(code) - 2);
    let margin = " ".repeat(MARGIN);
    let inside = screen.strong(&format!("{margin}{code}{margin}"));
    format!(
        "{INDENT}{top_left}{edge}{top_right}\n{INDENT}{down}{inside}{down}\n{INDENT}{bottom_left}{edge}{bottom_right}"
    )
}

/// Where it is narrow the address has a line of its own, so that nothing of ours breaks it.
fn instruction(address: &str, width: usize) -> String {
    let sentence = format!("{INDENT}Open {address} and enter the code.");
    if sentence.chars().count() <= width { sentence } else { format!("Open\n{address}\nand enter the code.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMPT: DeviceCodePrompt<'_> =
        DeviceCodePrompt { code: "ABC123XYZ", address: "https://microsoft.com/devicelogin", line: "" };

    fn plain(width: fn() -> usize) -> Screen {
        Screen { colour: false, unicode: false, width, ..Screen::fake() }
    }

    #[test]
    fn the_code_stands_in_a_frame_and_first() {
        let drawn = PROMPT.drawn(&plain(|| 80));
        assert_eq!(
            drawn,
            concat!(
                "\n  +---------------------+\n",
                "  |      ABC123XYZ      |\n",
                "  +---------------------+\n\n",
                "  Open https://microsoft.com/devicelogin and enter the code.\n\n"
            )
        );
    }

    #[test]
    fn with_colours_it_is_bold_and_inverse() {
        let drawn = PROMPT.drawn(&Screen::fake());
        assert_eq!(drawn.lines().nth(2), Some("  │\u{1b}[1;7m      ABC123XYZ      \u{1b}[0m│"));
        assert_eq!(drawn.lines().nth(1).map(|line| line.chars().count()), Some(25));
    }

    #[test]
    fn where_it_is_narrow_the_code_stands_alone() {
        let expected = "\nABC123XYZ\n\nOpen\nhttps://microsoft.com/devicelogin\nand enter the code.\n\n";
        assert_eq!(PROMPT.drawn(&plain(|| 20)), expected);
        assert_eq!(PROMPT.drawn(&plain(|| 24)), expected);
        assert!(PROMPT.drawn(&plain(|| 25)).starts_with("\n  +---------------------+\n"));
        assert!(
            PROMPT
                .drawn(&plain(|| 59))
                .ends_with("+\n\nOpen\nhttps://microsoft.com/devicelogin\nand enter the code.\n\n")
        );
        assert!(
            PROMPT.drawn(&plain(|| 60)).ends_with("\n  Open https://microsoft.com/devicelogin and enter the code.\n\n")
        );
    }

    #[test]
    fn a_server_cannot_draw() {
        let prompt = DeviceCodePrompt { code: "A\u{1b}[2J\n\u{202e}B", address: "https://v\r\u{9b}K", line: "" };
        assert_eq!(prompt.drawn(&plain(|| 20)), "\nA [2J B\n\nOpen\nhttps://v K\nand enter the code.\n\n");
    }
}
